import test from 'ava';
import fc from 'fast-check';
import { type ChangeAction, type FileKind, planChange, type RenderedFile, renderHosts } from 'dnsmasq-config';
import * as arbitrary from './support/arbitraries.ts';

const file = (kind: FileKind, text: string, path = `/r/${kind}`): RenderedFile => ({ path, kind, text });
const A = '02:00:00:00:00:0a,10.1.1.10,a\n';
const B = '02:00:00:00:00:0b,10.1.1.11,b\n';
const TAGGED = '02:00:00:00:00:0c,set:gold,10.1.1.12,c\n';

const cases: readonly (readonly [
  title: string,
  before: RenderedFile[],
  after: RenderedFile[],
  action: ChangeAction,
])[] = [
  ['nothing', [file('dhcp-hostsdir', A)], [file('dhcp-hostsdir', A)], 'none'],
  [
    'a host added in a file of its own',
    [file('dhcp-hostsdir', A, '/r/a')],
    [file('dhcp-hostsdir', A, '/r/a'), file('dhcp-hostsdir', B, '/r/b')],
    'rewrite',
  ],
  ['a host added to a file', [file('dhcp-hostsdir', A)], [file('dhcp-hostsdir', A + B)], 'rewrite'],
  ['hosts in another order', [file('dhcp-hostsdir', A + B)], [file('dhcp-hostsdir', B + A)], 'rewrite'],
  [
    'a host removed with its file',
    [file('dhcp-hostsdir', A, '/r/a'), file('dhcp-hostsdir', B, '/r/b')],
    [file('dhcp-hostsdir', A, '/r/a')],
    'reload',
  ],
  ['a host removed from a file', [file('dhcp-hostsdir', A + B)], [file('dhcp-hostsdir', B)], 'reload'],
  ['an address moved', [file('dhcp-hostsdir', A)], [file('dhcp-hostsdir', A.replace('0a', '0f'))], 'reload'],
  ['a host renamed', [file('dhcp-hostsdir', A)], [file('dhcp-hostsdir', A.replace(',a', ',z'))], 'reload'],
  [
    'a host removed beside one with a tag',
    [file('dhcp-hostsdir', A + TAGGED)],
    [file('dhcp-hostsdir', TAGGED)],
    'restart',
  ],
  ['a host with a tag added', [file('dhcp-hostsdir', A)], [file('dhcp-hostsdir', A + TAGGED)], 'rewrite'],
  ['a host with a tag removed', [file('dhcp-hostsdir', A + TAGGED)], [file('dhcp-hostsdir', A)], 'restart'],
  ['a dhcp-hostsfile', [file('dhcp-hostsfile', A)], [file('dhcp-hostsfile', A + B)], 'reload'],
  ['an options file', [file('dhcp-optsfile', '3\n')], [file('dhcp-optsfile', '3,10.1.1.1\n')], 'reload'],
  [
    'an option added to a directory',
    [file('dhcp-optsdir', '3\n')],
    [file('dhcp-optsdir', '3\n6,10.1.1.1\n')],
    'rewrite',
  ],
  [
    'an option changed in a directory',
    [file('dhcp-optsdir', '3\n')],
    [file('dhcp-optsdir', '3,10.1.1.1\n')],
    'reload',
  ],
  ['a name added', [file('hostsdir', '')], [file('hostsdir', '10.1.1.10 a\n')], 'rewrite'],
  ['a name removed', [file('hostsdir', '10.1.1.10 a\n')], [file('hostsdir', '')], 'rewrite'],
  ['an addn-hosts file', [file('addn-hosts', '')], [file('addn-hosts', '10.1.1.10 a\n')], 'reload'],
  ['the configuration', [file('conf', 'no-resolv\n')], [file('conf', 'no-resolv\nno-ping\n')], 'restart'],
  [
    'a comment in the configuration',
    [file('conf', 'no-resolv\n')],
    [file('conf', '# new\nno-resolv\n')],
    'rewrite',
  ],
];

for (const [title, before, after, action] of cases) {
  test(`${action}: ${title}`, (t) => {
    const plan = planChange(before, after);
    t.is(plan.action, action, plan.reasons.join('; '));
    t.is(plan.reasons.length > 0, action !== 'none');
  });
}

test('which files are written and removed, and whose leases are to be released', (t) => {
  const before = [
    file('dhcp-hostsdir', A, '/r/a'),
    file('dhcp-hostsdir', B, '/r/b'),
    file('conf', 'dhcp-host=02:00:00:00:00:0d,10.1.1.13,infinite\n'),
  ];
  const after = [file('dhcp-hostsdir', A, '/r/a'), file('dhcp-hostsdir', B.replace('.11', '.99'), '/r/b')];
  const { files, releases } = planChange(before, after);
  t.deepEqual(files, { write: [after[1] as RenderedFile], remove: ['/r/conf'] });
  t.deepEqual(releases as object[], [
    { mac: '02:00:00:00:00:0d', address: '10.1.1.13' },
    { mac: '02:00:00:00:00:0b', address: '10.1.1.11' },
  ]);
});

test('written over the old files, the plan gives the new ones; and a second plan has nothing to do', (t) => {
  const files = (hosts: Parameters<typeof renderHosts>[0]): RenderedFile[] =>
    hosts.map((host) => file('dhcp-hostsdir', renderHosts([host]), `/r/${host.mac}`));
  fc.assert(
    fc.property(arbitrary.reservations, arbitrary.reservations, (old, now) => {
      const before = files(old);
      const after = files(now);
      const plan = planChange(before, after);
      const disk = new Map(before.map(({ path, text }) => [path, text]));
      for (const { path, text } of plan.files.write) disk.set(path, text);
      for (const path of plan.files.remove) disk.delete(path);
      t.deepEqual(
        disk,
        new Map(
          [...disk.keys()].map((path) => [path, after.find((wanted) => wanted.path === path)?.text ?? '']),
        ),
      );
      const lost = old.some((host) => !now.some((other) => renderHosts([other]) === renderHosts([host])));
      return (
        disk.size === after.length &&
        planChange(after, after).action === 'none' &&
        lost === (plan.action === 'reload' || plan.action === 'restart')
      );
    }),
  );
});
