/**
 * Bundles the types of each package entry into dist/NAME.d.ts from tsc's output in .cache/types, and a report of the
 * public API into etc/NAME.api.md, whose changes are reviewed.
 */
import { join } from 'node:path';
import { CompilerState, Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor';
import { ENTRIES } from './entries.ts';

const ROOT = join(import.meta.dirname, '..');
const isCheck = process.argv.includes('--check');
const isAccepted = process.argv.includes('--accept');

const entries = Object.entries(ENTRIES).map(([name, source]) => {
  const reportFileName = `${name === 'index' ? 'chunkwise' : name}.api.md`;
  const config = ExtractorConfig.prepare({
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
        // Every export is public.
        extractorMessageReporting: { 'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None } },
      },
    },
  });
  return { reportFileName, config };
});
const [{ config: first }] = entries as [(typeof entries)[0]];
/** All entries in one program, so that the compiler reads the types once. */
const compilerState = CompilerState.create(first, {
  additionalEntryPoints: entries.map(({ config }) => config.mainEntryPointFilePath),
});

for (const { reportFileName, config } of entries) {
  const { succeeded, apiReportChanged } = Extractor.invoke(config, {
    compilerState,
    localBuild: isAccepted,
    messageCallback: (message) => {
      // Reported below; the second one says that the extractor's compiler is older.
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
    process.exitCode = 1; // without a report above this is not the extractor's failure
  }
  if (!succeeded && (isCheck || !apiReportChanged)) process.exitCode = 1;
}
