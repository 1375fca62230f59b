if (Number(process.versions.node.split('.')[0]) < 24) {
  throw new Error(`These tests run on Node 24; this is ${process.version}. Use "npm test" or "npx ava".`);
}

export default {
  files: [
    'packages/*/test/**/*.test.ts',
    '{controller,router,host,cli}/test/**/*.test.ts',
    'test/**/*.test.ts',
  ],
  extensions: ['ts'],
  concurrency: 2,
  timeout: '180s',
  // Namespaces belong to threads: every test file gets a process of its own.
  workerThreads: false,
};
