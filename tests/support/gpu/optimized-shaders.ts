/** For a test file that computes more than it compiles: lavapipe optimizes its shaders, as for users. Imported before a device is opened. */
delete process.env['GALLIVM_PERF'];
