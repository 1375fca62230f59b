/** A tool that is ended before it has read a configuration has not refused it. */
import { readdirSync } from 'node:fs';
import test from 'ava';
import type { Problem } from 'documents';
import { dhcpFeature } from '../../dhcp/feature.ts';
import { dnsFeature } from '../../dns/feature.ts';
import { loadBalancerFeature } from '../../loadbalancer/feature.ts';
import type { System } from '../../system.ts';
import { balancer, document } from './document.ts';
import { removeSystem, testSystem } from './test-system.ts';

const system = testSystem();
test.after.always(() => removeSystem(system));

/** The same system, which gives a program no more than a millisecond. */
const hurried = (): System => ({
  ...system,
  exec: {
    ...system.exec,
    run: (program, args, options) => system.exec.run(program, args, { ...options, timeout: 1 }),
  },
});

const next = document({
  loadBalancers: [balancer()],
  dns: { domain: 'cloud.internal', upstreams: ['203.0.113.1'], records: [] },
});

const checks: Readonly<Record<string, (asked: System) => Promise<Problem[]>>> = {
  haproxy: async (asked) =>
    (await loadBalancerFeature.check?.(asked, loadBalancerFeature.render(next))) ?? [],
  dnsmasq: async (asked) => {
    await dhcpFeature.check?.(asked, dhcpFeature.render(next));
    return (await dnsFeature.check?.(asked, dnsFeature.render(next))) ?? [];
  },
};

for (const [name, check] of Object.entries(checks)) {
  test.serial(`${name} ended by us gives no verdict`, async (t) => {
    t.deepEqual(await check(system), [], 'control: in its time it takes it');
    const asked = hurried();
    let without = 0;
    // It may be quicker than our own clock: then it takes the configuration.
    for (let turn = 0; turn < 20; turn += 1) {
      try {
        t.deepEqual(await check(asked), []);
      } catch (error) {
        t.like(error, { name: 'ServiceError', code: 'service-no-verdict' });
        without += 1;
      }
    }
    t.log(`${without} of 20 without a verdict`);
    t.true(without > 0);
    t.deepEqual(
      readdirSync(`${system.directory}/${name}`).filter((file) => file.includes('check')),
      [],
      'nothing is left behind',
    );
  });
}

test.serial('nor does one that cannot be started', async (t) => {
  const asked: System = {
    ...system,
    exec: { ...system.exec, run: (_, args, options) => system.exec.run('/nonexistent', args, options) },
  };
  await t.throwsAsync(async () => checks['haproxy']?.(asked), { code: 'service-no-verdict' });
});
