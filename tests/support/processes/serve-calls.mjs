// The child's side of called-process.ts, which Node reads without a compiler.
export function serveCalls(operations) {
  process.on('disconnect', () => process.exit(0));
  process.on('message', async ({ id, operation, request }) => {
    try {
      process.send({ id, result: await operations[operation](request) });
    } catch (error) {
      process.send({ id, error: error?.stack ?? String(error) });
    }
  });
  process.send('ready');
}
