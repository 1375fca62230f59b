if (Number(process.versions.node.split('.')[0]) < 24) {
  throw new Error(`These tests run on Node 24; this is ${process.version}. Use "npm test" or "npx ava".`);
}

/** The longest begin first, so that no processor waits for the last of them. */
const first = [
  'test/system/replace',
  'test/system/upgrade',
  'test/traffic/traffic',
  'router/test/handover/',
  'host/test/silence',
  'controller/test/workflow/',
  'test/system/',
  'router/test/',
  'host/test/',
];
const rank = (file) => {
  const found = first.findIndex((part) => file.includes(`/${part}`));
  return found < 0 ? first.length : found;
};

export default {
  files: [
    'packages/*/test/**/*.test.ts',
    '{controller,router,host,cli}/test/**/*.test.ts',
    'test/**/*.test.ts',
  ],
  sortTestFiles: (a, b) => rank(a) - rank(b) || (a < b ? -1 : 1),
  extensions: ['ts'],
  concurrency: 2,
  timeout: '180s',
  // Namespaces belong to threads: every test file gets a process of its own.
  workerThreads: false,
};
