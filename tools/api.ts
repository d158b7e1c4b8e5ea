/**
 * The types of each entry of the package, in one file dist/NAME.d.ts, from what tsc has written to .cache/types; and a
 * report of all that is public, etc/NAME.api.md, whose changes are to be reviewed.
 *
 *   tsx tools/api.ts            writes dist/
 *   tsx tools/api.ts --check    fails where the reports are not what they would be
 *   tsx tools/api.ts --accept   writes the reports
 */
import { join } from 'node:path';
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor';
import { ENTRIES } from './entries.ts';

const ROOT = join(import.meta.dirname, '..');
const isCheck = process.argv.includes('--check');
const isAccepted = process.argv.includes('--accept');

for (const [name, source] of Object.entries(ENTRIES)) {
  const reportFileName = `${name === 'index' ? 'chunkwise' : name}.api.md`;
  const extractorConfig = ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: join(ROOT, 'package.json'),
    configObject: {
      projectFolder: ROOT,
      mainEntryPointFilePath: join(ROOT, '.cache/types', source.replace(/\.ts$/, '.d.ts')),
      compiler: { tsconfigFilePath: join(ROOT, 'tsconfig.build.json'), skipLibCheck: true },
      apiReport: {
        enabled: isCheck || isAccepted,
        reportFileName,
        reportFolder: join(ROOT, 'etc'),
        reportTempFolder: join(ROOT, '.cache/api'),
      },
      docModel: { enabled: false },
      tsdocMetadata: { enabled: false },
      dtsRollup: { enabled: true, untrimmedFilePath: join(ROOT, 'dist', `${name}.d.ts`) },
      newlineKind: 'lf',
      messages: {
        // Everything that is exported is public.
        extractorMessageReporting: { 'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None } },
      },
    },
  });
  const { succeeded, apiReportChanged } = Extractor.invoke(extractorConfig, {
    localBuild: isAccepted,
    messageCallback: (message) => {
      // Told below; and that its own compiler is an older one.
      if (
        ['console-api-report-not-copied', 'console-compiler-version-notice', 'console-preamble'].includes(
          message.messageId,
        )
      )
        message.logLevel = ExtractorLogLevel.None;
    },
  });
  if (isCheck && apiReportChanged) {
    console.error(`etc/${reportFileName} is not what the sources say: run npm run api, and review the difference`);
    process.exitCode = 1; // not told above, it is no failure of the extractor's
  }
  if (!succeeded && (isCheck || !apiReportChanged)) process.exitCode = 1;
}
