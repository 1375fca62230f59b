/**
 * The tour: a tenant's network behind a real virtual router, made through the public API alone, every claim shown on
 * real packets. Exits 0 only if each step was seen to work, and leaves nothing on the machine.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type Resource } from '../../cli/client.ts';
import { describeError } from '../../cli/context.ts';
import { LAB_SERVER } from '../../cli/lab/up.ts';
import { startTestStack, type TestStack } from '../system/stack.ts';

const SYSTEM = join(import.meta.dirname, '../system');
const SERVER = join(SYSTEM, 'guest-server.ts');
const PROBE = join(SYSTEM, 'probe.ts');

interface Outcome {
  readonly title: string;
  readonly ms: number;
  readonly failure: string | null;
}
const outcomes: Outcome[] = [];

const step = async <T>(title: string, act: () => Promise<readonly [seen: string, value: T]>): Promise<T> => {
  const started = performance.now();
  try {
    const [seen, value] = await act();
    outcomes.push({ title, ms: performance.now() - started, failure: null });
    console.log(
      `ok    ${title}${seen === '' ? '' : `: ${seen}`} (${Math.round(performance.now() - started)} ms)`,
    );
    return value;
  } catch (error) {
    outcomes.push({ title, ms: performance.now() - started, failure: describeError(error) });
    console.log(`FAIL  ${title}: ${describeError(error)}`);
    throw error;
  }
};

const expect = (truth: boolean, otherwise: string): void => {
  if (!truth) throw new Error(otherwise);
};

const tour = async (demo: TestStack): Promise<void> => {
  const admin = demo.client();
  const tenant = await step('the admin creates an account and its API key', async () => {
    const account = await admin.post('/v1/accounts', { name: 'acme' });
    const key = await admin.post<Resource & { key: string }>('/v1/api-keys', {
      account: account.id,
      name: 'demo',
    });
    return [account.id, new Client({ url: admin.url, key: key.key })];
  });
  const create = async (path: string, body: Readonly<Record<string, unknown>>): Promise<Resource> => {
    const created = await tenant.post<Resource>(path, body);
    if (typeof created.operation === 'string') await tenant.wait(created.operation, () => {});
    return typeof created.operation !== 'string'
      ? created
      : { ...created, ...(await tenant.get(`${path}/${created.id}`)) };
  };
  const address = (instance: Resource): string => String(instance['address']);
  const curl = (machine: string, url: string, ...more: string[]) =>
    demo.run(machine, ['curl', '-sS', '-m', '3', ...more, url]);
  const reached = async (machine: string, url: string): Promise<Record<string, unknown>> => {
    const { exitCode, stdout, stderr } = await curl(machine, url);
    expect(exitCode === 0, `${url} was not reached: ${stderr.trim()}`);
    return JSON.parse(stdout) as Record<string, unknown>;
  };
  const refused = async (machine: string, url: string): Promise<string> => {
    const { exitCode } = await curl(machine, url);
    expect(exitCode !== 0, `${url} was reached, and should not have been`);
    return exitCode === 28 ? 'no answer' : 'refused';
  };

  const network = await step('the tenant creates an isolated network; nothing runs yet', async () => {
    const created = await create('/v1/networks', { name: 'web' });
    expect(created['state'] === 'allocated', `state is ${String(created['state'])}`);
    return [`${String(created['prefix'])}, ${String(created['state'])}`, created];
  });

  const userData = Buffer.from('#cloud-config\npackages: [nginx]\n');
  const web1 = await step('the first guest brings up the network and its router', async () => {
    const created = await create('/v1/instances', {
      name: 'web-1',
      network: network.id,
      userData: userData.toString('base64'),
    });
    return [`${created.id} is ${address(created)}`, created];
  });
  const web2 = await step('a second guest joins', async () => {
    const created = await create('/v1/instances', { name: 'web-2', network: network.id });
    return [`${created.id} is ${address(created)}`, created];
  });
  const ips = (await tenant.list('/v1/public-ips')).filter((ip) => ip['network'] === network.id);
  const sourceNat = ips.find((ip) => ip['sourceNat'] === true);
  if (sourceNat === undefined) throw new Error('the network has no source NAT address');
  const publicAddress = String(sourceNat['address']);
  for (const guest of [web1, web2])
    demo.start(guest.id, [process.execPath, SERVER, String(guest['name']), '8080', '7']);

  await step('a guest got its lease from a real DHCP client', async () => {
    const { stdout } = await demo.run(web1.id, ['/usr/sbin/ip', '-o', '-4', 'address', 'show', 'eth0']);
    expect(stdout.includes(`${address(web1)}/24`), `eth0 has: ${stdout}`);
    const again = await demo.run(web1.id, [
      'busybox',
      'udhcpc',
      '-i',
      'eth0',
      '-f',
      '-n',
      '-q',
      '-s',
      '/bin/true',
    ]);
    expect(
      `${again.stdout}${again.stderr}`.includes(`lease of ${address(web1)}`),
      `udhcpc said: ${again.stderr}`,
    );
    return [`${address(web1)} (busybox udhcpc)`, null];
  });
  await step('a guest resolves the other by name', async () => {
    const { stdout } = await demo.run(web1.id, ['dig', '+short', '+time=2', '+search', 'web-2']);
    expect(stdout.trim() === address(web2), `dig answered ${JSON.stringify(stdout)}`);
    return [`web-2 is ${stdout.trim()}`, null];
  });
  await step('egress is closed by default', async () => [
    await refused(web1.id, `http://${LAB_SERVER}/`),
    null,
  ]);
  await step('an egress rule opens it', async () => {
    const rule = await create('/v1/egress-rules', { network: network.id, protocol: 'all' });
    return [rule.id, null];
  });
  await step('a guest reaches the internet through source NAT', async () => {
    const seen = await reached(web1.id, 'http://example.com/');
    expect(seen['youAre'] === publicAddress, `the internet saw ${String(seen['youAre'])}`);
    return [`example.com saw ${publicAddress}`, null];
  });
  await step('a port forward behind a closed firewall is not reached', async () => {
    await create('/v1/port-forwards', {
      publicIp: sourceNat.id,
      protocol: 'tcp',
      publicPorts: { first: 8001, last: 8001 },
      instance: web1.id,
      guestPorts: { first: 8080, last: 8080 },
    });
    return [await refused('internet', `http://${publicAddress}:8001/`), null];
  });
  await step('with its firewall rule it is', async () => {
    await create('/v1/firewall-rules', {
      publicIp: sourceNat.id,
      protocol: 'tcp',
      ports: { first: 8001, last: 8001 },
    });
    const seen = await reached('internet', `http://${publicAddress}:8001/`);
    expect(seen['iAm'] === 'web-1', `answered by ${String(seen['iAm'])}`);
    return [`${publicAddress}:8001 is web-1`, null];
  });
  await step('a static NAT gives a guest an address of its own, both ways', async () => {
    const ip = await create('/v1/public-ips', { network: network.id });
    await create('/v1/static-nats', { publicIp: ip.id, instance: web2.id });
    await create('/v1/firewall-rules', {
      publicIp: ip.id,
      protocol: 'tcp',
      ports: { first: 8080, last: 8080 },
    });
    const inward = await reached('internet', `http://${String(ip['address'])}:8080/`);
    expect(inward['iAm'] === 'web-2', `answered by ${String(inward['iAm'])}`);
    const outward = await reached(web2.id, `http://${LAB_SERVER}/`);
    expect(outward['youAre'] === ip['address'], `the internet saw ${String(outward['youAre'])}`);
    return [`${String(ip['address'])} is web-2`, null];
  });
  await step('a load balancer spreads connections over both guests', async () => {
    await create('/v1/load-balancers', {
      name: 'www',
      publicIp: sourceNat.id,
      port: 80,
      protocol: 'http',
      members: [
        { instance: web1.id, port: 8080 },
        { instance: web2.id, port: 8080 },
      ],
    });
    await create('/v1/firewall-rules', {
      publicIp: sourceNat.id,
      protocol: 'tcp',
      ports: { first: 80, last: 80 },
    });
    const answers = new Map<string, number>();
    for (let request = 0; request < 10; request += 1) {
      const seen = await reached('internet', `http://${publicAddress}/`);
      answers.set(String(seen['iAm']), (answers.get(String(seen['iAm'])) ?? 0) + 1);
    }
    expect(answers.size === 2, `answers came from ${[...answers.keys()].join(', ')} alone`);
    return [[...answers].map(([name, count]) => `${name} ${count}`).join(', '), null];
  });
  await step('a guest reads its user data, byte for byte', async () => {
    const { stdout } = await curl(web1.id, 'http://data-server/latest/user-data');
    expect(stdout === userData.toString(), `it read ${JSON.stringify(stdout)}`);
    const instanceId = await curl(web1.id, 'http://data-server/latest/meta-data/instance-id');
    expect(instanceId.stdout.trim() === web1.id, `instance-id is ${instanceId.stdout}`);
    return [`${userData.length} bytes, instance-id ${web1.id}`, null];
  });
  await step('rules change under traffic without a lost packet', async () => {
    const probing = demo.run(web1.id, [process.execPath, PROBE, LAB_SERVER, '7', '2000', '1']);
    let changes = 0;
    for (let round = 0; round < 5; round += 1) {
      const rule = await create('/v1/firewall-rules', {
        publicIp: sourceNat.id,
        protocol: 'tcp',
        ports: { first: 9000 + round, last: 9000 + round },
      });
      const removed = await tenant.delete<Resource>(`/v1/firewall-rules/${rule.id}`);
      if (typeof removed?.operation === 'string') await tenant.wait(removed.operation, () => {});
      changes += 2;
    }
    const result = JSON.parse((await probing).stdout) as { sent: number; lost: number; doubled: number };
    expect(result.sent === 2000 && result.lost === 0 && result.doubled === 0, JSON.stringify(result));
    return [`${changes} changes, ${result.sent} probes, ${result.lost} lost`, null];
  });
  const activeRouter = async (): Promise<string> => {
    const router = (await admin.list(`/v1/routers`)).find(({ role }) => role === 'active');
    if (router === undefined) throw new Error('there is no active router');
    return router.id;
  };
  await step('the router is replaced by a new one without a lost packet', async () => {
    const before = await activeRouter();
    const probing = demo.run(web1.id, [process.execPath, PROBE, LAB_SERVER, '7', '5000', '1']);
    const replaced = await admin.post<Resource>(`/v1/routers/${before}/replace`, {});
    await admin.wait(String(replaced.operation), () => {});
    const result = JSON.parse((await probing).stdout) as { sent: number; lost: number; doubled: number };
    expect(result.lost === 0 && result.doubled === 0, JSON.stringify(result));
    const after = await activeRouter();
    expect(after !== before, `${before} serves still`);
    return [`${before} -> ${after}, ${result.sent} probes, ${result.lost} lost`, null];
  });
  await step('a standby is put beside it', async () => {
    await tenant.patch(`/v1/networks/${network.id}`, { redundant: true });
    for (let tries = 0; tries < 300; tries += 1) {
      const { conditions } = await tenant.get<Resource>(`/v1/networks/${network.id}`);
      const redundant = (conditions as { type: string; reason: string; message: string }[]).find(
        ({ type }) => type === 'Redundant',
      );
      if (redundant?.reason === 'Synced') return [redundant.message, null];
      await sleep(100);
    }
    throw new Error('it was not synced within 30 s');
  });
  await step('the router is killed, and the standby takes over', async () => {
    const dead = await activeRouter();
    const probing = demo.run(web1.id, [process.execPath, PROBE, LAB_SERVER, '7', '2000', '1']);
    await sleep(500);
    await demo.killMachine(dead);
    const result = JSON.parse((await probing).stdout) as { sent: number; lost: number; doubled: number };
    expect(result.lost < 1000 && result.doubled === 0, JSON.stringify(result));
    const now = await activeRouter();
    expect(now !== dead, `${dead} is active still`);
    return [`${now} serves, ${result.lost} of ${result.sent} probes lost, at 1000 a second`, null];
  });
  await step('the operator sees that nothing is left to do', async () => {
    const [router] = await admin.list('/v1/routers');
    if (router === undefined) throw new Error('there is no router');
    const { text } = await admin.post<{ text: string }>(`/v1/routers/${router.id}/diff`, {});
    expect(text === '', `router diff says:\n${text}`);
    return [`router diff ${router.id} is empty`, null];
  });
};

const started = performance.now();
let demo: TestStack | undefined;
try {
  demo = await step('controller and host agent start, with a lab "internet" beside them', async () => [
    '',
    await startTestStack(`svd${process.pid}`),
  ]);
  await tour(demo);
} catch {
  // Said by its step.
}
try {
  await step('everything is removed again', async () => {
    await demo?.destroy();
    return ['', null];
  });
} catch {
  // Said by its step.
}

const failed = outcomes.filter(({ failure }) => failure !== null).length;
console.log(
  `\n${outcomes.length - failed} of ${outcomes.length} steps seen to work on real packets, in ${((performance.now() - started) / 1000).toFixed(1)} s.`,
);
if (failed === 0) console.log('Try it yourself: npm start, and in another terminal npx selvage --help');
process.exitCode = failed === 0 ? 0 : 1;
