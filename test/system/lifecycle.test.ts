/** Networks run while they have guests, everything freed can be had again, and nothing is left when a stack is destroyed. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { startTestStack } from './stack.ts';
import { makeTenant } from './tenant.ts';

const namespaces = (prefix: string): string[] =>
  readdirSync('/run/netns').filter((name) => name.startsWith(`${prefix}-`));

const within = async (limit: number, probe: () => Promise<boolean> | boolean): Promise<boolean> => {
  const deadline = performance.now() + limit;
  while (performance.now() < deadline) {
    if (await probe()) return true;
    await new Promise((done) => setTimeout(done, 100));
  }
  return false;
};

test.serial(
  'a network loses its router some time after its last guest, and everything of it is gone',
  async (t) => {
    const prefix = `svt${process.pid}`;
    const stack = await startTestStack(prefix, { networkGc: 2 });
    try {
      const tenant = await makeTenant(stack, 'web');
      t.true(namespaces(prefix).includes(`${prefix}-${tenant.router}`));
      for (const guest of tenant.guests) await stack.remove(`/v1/instances/${guest.id}`);
      t.true(
        await within(
          20_000,
          async () =>
            (await stack.client().get(`/v1/networks/${tenant.network.id}`))['state'] === 'allocated',
        ),
        'the network is shut down',
      );
      t.true(
        await within(10_000, () => !namespaces(prefix).includes(`${prefix}-${tenant.router}`)),
        'the router is gone',
      );
      t.deepEqual(namespaces(prefix).sort(), [`${prefix}-fabric`, `${prefix}-internet`]);
      const links = spawnSync('/usr/sbin/ip', ['-n', `${prefix}-fabric`, '-o', 'link'], {
        encoding: 'utf8',
      }).stdout;
      t.false(
        /: (pt|br)[0-9a-z]{12}/.test(
          links
            .split('\n')
            .filter((line) => !line.includes('master'))
            .filter((line) => line.includes(': pt'))
            .join('\n'),
        ),
        links,
      );
      await stack.remove(`/v1/networks/${tenant.network.id}`);
      t.deepEqual((await stack.client().list('/v1/public-ips')).length, 0);
    } finally {
      await stack.destroy();
    }
    t.deepEqual(namespaces(prefix), []);
    t.false(existsSync(stack.state));
  },
);

test.serial('guests of one network reach each other, guests of another do not', async (t) => {
  const stack = await startTestStack(`svt${process.pid}`);
  try {
    const one = await makeTenant(stack, 'one');
    const two = await makeTenant(stack, 'two');
    const ping = async (from: string, to: unknown): Promise<number> =>
      (await stack.run(from, ['ping', '-n', '-c', '1', '-W', '1', String(to)])).exitCode;
    t.is(await ping(one.guests[0].id, one.guests[1]['address']), 0);
    const third = await stack.create('/v1/instances', { name: 'third', network: two.network.id });
    t.not(
      await ping(one.guests[0].id, third['address']),
      0,
      'the same prefix, another segment: nobody answers',
    );
  } finally {
    await stack.destroy();
  }
});

test.serial('a start that died before it wrote down who it is becomes the same host again', async (t) => {
  const stack = await startTestStack(`svt${process.pid}`);
  try {
    const { host } = stack.stack();
    rmSync(join(stack.state, 'host/host.json'));
    await stack.restart();
    t.is(stack.stack().host, host);
    t.deepEqual(
      (await stack.client().list('/v1/hosts')).map(({ id }) => id),
      [host],
    );
  } finally {
    await stack.destroy();
  }
});
