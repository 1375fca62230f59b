/** What is removed by hand comes back within seconds, and is told as an event. */
import test from 'ava';
import { startTestStack, type TestStack } from './stack.ts';
import { makeTenant, type Tenant } from './tenant.ts';

let stack: TestStack;
let tenant: Tenant;

test.before(async () => {
  stack = await startTestStack(`svt${process.pid}`);
  tenant = await makeTenant(stack, 'web');
});
test.after.always(() => stack?.destroy());

const LIMIT = 8000;

const within = async (probe: () => Promise<boolean>): Promise<boolean> => {
  const deadline = performance.now() + LIMIT;
  while (performance.now() < deadline) {
    if (await probe()) return true;
    await new Promise((done) => setTimeout(done, 50));
  }
  return false;
};

const drifts = (): ReadonlyArray<
  readonly [
    what: string,
    machine: () => string,
    remove: readonly string[],
    show: readonly string[],
    wanted: () => string,
    event: string,
  ]
> => [
  [
    'an address of a router',
    () => tenant.router,
    ['/usr/sbin/ip', 'address', 'del', `${String(tenant.publicIp['address'])}/24`, 'dev', 'public0'],
    ['/usr/sbin/ip', 'address'],
    () => String(tenant.publicIp['address']),
    'router.drift-healed',
  ],
  [
    'the default route of a router',
    () => tenant.router,
    ['/usr/sbin/ip', 'route', 'del', 'default'],
    ['/usr/sbin/ip', 'route'],
    () => 'default via',
    'router.drift-healed',
  ],
  [
    'the whole ruleset of a router',
    () => tenant.router,
    ['/usr/sbin/nft', 'delete', 'table', 'inet', 'selvage'],
    ['/usr/sbin/nft', 'list', 'tables'],
    () => 'table inet selvage',
    'router.drift-healed',
  ],
  [
    'the port security of a host',
    () => 'fabric',
    ['/usr/sbin/nft', 'delete', 'table', 'bridge', 'selvage'],
    ['/usr/sbin/nft', 'list', 'tables'],
    () => 'table bridge selvage',
    'host.drift-healed',
  ],
];

test.serial('nothing comes back of what nobody wants: the control', async (t) => {
  await stack.run(tenant.router, ['/usr/sbin/ip', 'address', 'add', '203.0.113.9/32', 'dev', 'lo']);
  await stack.run(tenant.router, ['/usr/sbin/ip', 'address', 'del', '203.0.113.9/32', 'dev', 'lo']);
  await new Promise((done) => setTimeout(done, 2000));
  t.false((await stack.run(tenant.router, ['/usr/sbin/ip', 'address'])).stdout.includes('203.0.113.9'));
});

test.serial('drift heals', async (t) => {
  for (const [what, machine, remove, show, wanted, event] of drifts()) {
    const before = await stack.client().list('/v1/events', {});
    const removed = await stack.run(machine(), remove);
    t.is(removed.exitCode, 0, `${what}: ${removed.stderr}`);
    t.true(
      await within(async () => (await stack.run(machine(), show)).stdout.includes(wanted())),
      `${what} came back`,
    );
    t.true(
      await within(async () => {
        const known = new Set(before.map(({ id }) => id));
        return (await stack.client().list('/v1/events', {})).some(
          (happened) => !known.has(happened.id) && happened['type'] === event,
        );
      }),
      `${what} was told as ${event}`,
    );
  }
});

test.serial('a firewall rule taken out of its set by hand comes back', async (t) => {
  const place = ['inet', 'selvage', 'firewall_ports', `{ ${String(tenant.publicIp['address'])} . udp . 7 }`];
  const isThere = async (): Promise<boolean> =>
    (await stack.run(tenant.router, ['/usr/sbin/nft', 'get', 'element', ...place])).exitCode === 0;
  t.true(await isThere());
  const removed = await stack.run(tenant.router, ['/usr/sbin/nft', 'delete', 'element', ...place]);
  t.is(removed.exitCode, 0, removed.stderr);
  t.true(await within(isThere));
});
