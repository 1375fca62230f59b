import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import {
  type HostNames,
  type HostReservation,
  parseServerDuid,
  planChange,
  type RenderedFiles,
  renderFiles,
  renderLeases,
  staleLeases,
  verifyConfig,
  withoutLeases,
} from 'dnsmasq-config';
import { parseIpv4, parseMac } from 'ip';
import { type DnsmasqLab, dnsmasqLab } from './support/dnsmasq-lab.ts';

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const SERVER = parseIpv4('10.1.1.1')!;

const host = (
  mac: string,
  address: string,
  hostname: string,
  more: Partial<HostReservation> = {},
): HostReservation => ({
  mac: parseMac(mac)!,
  addresses: [parseIpv4(address)!],
  hostname,
  leaseTime: 'infinite',
  ...more,
});

function files(
  { directory, config }: DnsmasqLab,
  reservations: HostReservation[],
  names: HostNames[] = [],
): RenderedFiles {
  return renderFiles({ directory, config, reservations, names });
}

const names = (address: string, name: string): HostNames => ({
  address: parseIpv4(address)!,
  names: [`${name}.net.example`, name],
});

test('a host and its name are added without a signal; a name goes without a signal', async (t) => {
  const lab = dnsmasqLab(t);
  const before = files(lab, []);
  t.deepEqual(verifyConfig(lab.config, [host(A, '10.1.1.10', 'a')]), []);
  await lab.start(before);
  t.is(lab.lease(A), null, 'control: nobody is served before');
  t.is(lab.dig('a.net.example'), '');

  const after = files(lab, [host(A, '10.1.1.10', 'a')], [names('10.1.1.10', 'a'), names('10.1.1.99', 'x')]);
  const plan = planChange(before, after);
  t.is(plan.action, 'rewrite');
  await lab.apply(plan, after);
  t.deepEqual(lab.lease(A), { ip: '10.1.1.10', hostname: 'a' });
  t.is(lab.dig('a.net.example'), '10.1.1.10');
  t.is(lab.dig('-x', '10.1.1.10'), 'a.net.example.');
  t.is(lab.dig('x.net.example'), '10.1.1.99');
  t.false(lab.log().includes('duplicate dhcp-host'));

  const renamed = files(lab, [host(A, '10.1.1.10', 'a')], [names('10.1.1.10', 'other')]);
  const rename = planChange(after, renamed);
  t.is(rename.action, 'rewrite');
  await lab.apply(rename, renamed);
  t.is(lab.dig('other.net.example'), '10.1.1.10');
  t.is(lab.dig('-x', '10.1.1.10'), 'other.net.example.');
  t.is(lab.dig('x.net.example'), '', 'gone with its line');
  t.is(lab.dig('a.net.example'), '10.1.1.10', 'the lease goes on answering for the name it was given with');
});

test('a removed host is served until SIGHUP, and its lease holds the address until it is released', async (t) => {
  const lab = dnsmasqLab(t);
  const before = files(lab, [host(A, '10.1.1.10', 'a')]);
  await lab.start(before);
  t.is(lab.lease(A)?.ip, '10.1.1.10');

  // The address moves to another MAC.
  const after = files(lab, [host(B, '10.1.1.10', 'b')]);
  const plan = planChange(before, after);
  t.is(plan.action, 'reload');
  t.deepEqual(plan.releases as object[], [{ mac: A, address: '10.1.1.10' }]);
  await lab.apply({ ...plan, action: 'rewrite' }, after);
  t.is(lab.lease(A)?.ip, '10.1.1.10', 'control: without SIGHUP the old host is served');
  t.is(lab.lease(B), null, 'control: without SIGHUP the new host is not');

  await lab.signal();
  t.is(lab.lease(A), null);
  t.is(lab.lease(B), null, 'control: the old lease holds the address');
  t.deepEqual(
    staleLeases(lab.leases(), [host(B, '10.1.1.10', 'b')]).map(({ mac }) => mac as string),
    [A],
  );

  for (const { mac, address } of plan.releases)
    await lab.release({ clientMac: mac, address, server: SERVER });
  t.deepEqual(lab.leases(), []);
  t.deepEqual(lab.lease(B), { ip: '10.1.1.10', hostname: 'b' });
  t.true(lab.isAlive());
});

test('a changed name of a reservation needs SIGHUP too', async (t) => {
  const lab = dnsmasqLab(t);
  const before = files(lab, [host(A, '10.1.1.10', 'a')]);
  await lab.start(before);
  const after = files(lab, [host(A, '10.1.1.10', 'z')]);
  const plan = planChange(before, after);
  t.is(plan.action, 'reload');
  t.deepEqual(plan.releases, []);
  await lab.apply({ ...plan, action: 'rewrite' }, after);
  t.is(lab.lease(A)?.hostname, 'a', 'control: 2.90 refuses the line as a duplicate');
  await lab.signal();
  t.is(lab.lease(A)?.hostname, 'z');
});

test('leases are kept across a restart, and can be dropped at one', async (t) => {
  const lab = dnsmasqLab(t);
  const both = files(lab, [host(A, '10.1.1.10', 'a'), host(B, '10.1.1.11', 'b')]);
  await lab.start(both);
  t.is(lab.lease(A)?.ip, '10.1.1.10');
  t.is(lab.lease(B)?.ip, '10.1.1.11');
  await lab.stop();
  await lab.start(both);
  t.is(lab.leases().length, 2);
  t.is(lab.dig('a.net.example'), '10.1.1.10', 'its names are known from the lease file');

  await lab.stop();
  const left = withoutLeases(lab.leases(), new Set(['10.1.1.10']));
  writeFileSync(join(lab.directory, 'leases'), renderLeases(left, parseServerDuid(lab.leaseText())));
  await lab.start(files(lab, [host(B, '10.1.1.11', 'b'), host('02:00:00:00:00:0c', '10.1.1.10', 'c')]));
  t.is(lab.lease('02:00:00:00:00:0c')?.ip, '10.1.1.10');
  t.is(lab.lease(B)?.ip, '10.1.1.11');
});

test('SIGHUP with a tag in a dhcp-hostsdir kills 2.90; the plan restarts instead, and the option arrives', async (t) => {
  const lab = dnsmasqLab(t);
  const tagged = host(A, '10.1.1.10', 'a', {
    options: [{ family: 4, code: 12, value: { type: 'text', text: 'by-option' } }],
  });
  const before = files(lab, [tagged, host(B, '10.1.1.11', 'b')]);
  await lab.start(before);
  t.is(lab.lease(A)?.hostname, 'by-option', 'the option of this host alone');
  t.is(lab.lease(B)?.hostname, 'b');
  const after = files(lab, [tagged]);
  const plan = planChange(before, after);
  t.is(plan.action, 'restart');

  await lab.signal();
  if (lab.isAlive())
    t.log('this dnsmasq survived SIGHUP with tags: the rule is for 2.90 as Debian 12 ships it');
  else t.log('dnsmasq died at SIGHUP, as measured');
  await lab.apply(plan, after);
  t.true(lab.isAlive());
  t.is(lab.lease(A)?.ip, '10.1.1.10');
  t.is(lab.lease(B), null);
});

test('a release for another server, or from nobody, frees nothing', async (t) => {
  const lab = dnsmasqLab(t);
  await lab.start(files(lab, [host(A, '10.1.1.10', 'a')]));
  t.is(lab.lease(A)?.ip, '10.1.1.10');
  await lab.release({ clientMac: parseMac(B)!, address: parseIpv4('10.1.1.10')!, server: SERVER });
  t.is(lab.leases().length, 1);
  await lab.release({ clientMac: parseMac(A)!, address: parseIpv4('10.1.1.11')!, server: SERVER });
  t.is(lab.leases().length, 1);
  await lab.release({ clientMac: parseMac(A)!, address: parseIpv4('10.1.1.10')!, server: SERVER });
  t.is(lab.leases().length, 0);
});

test('options reach the client as the octets they were meant to be', async (t) => {
  const lab = dnsmasqLab(t);
  const config: typeof lab.config = {
    ...lab.config,
    dhcp: {
      ...lab.config.dhcp!,
      options: [
        { family: 4, code: 224, force: true, value: { type: 'number', value: 5, octets: 2 } },
        { family: 4, code: 225, force: true, value: { type: 'number', value: 5, octets: 1 } },
        { family: 4, code: 226, force: true, value: { type: 'number', value: 5, octets: 4 } },
        { family: 4, code: 227, force: true, value: { type: 'octets', octets: [109, 97, 255] } },
        { family: 4, code: 228, force: true, value: { type: 'octets', octets: [18] } },
        { family: 4, code: 229, force: true, value: { type: 'text', text: 'a:b/c.d-e' } },
        { family: 4, code: 230, force: true, value: { type: 'text', text: 'ab' } },
      ],
    },
  };
  t.deepEqual(verifyConfig(config, [host(A, '10.1.1.10', 'a')]), []);
  await lab.start(
    renderFiles({ directory: lab.directory, config, reservations: [host(A, '10.1.1.10', 'a')], names: [] }),
  );
  t.is(lab.lease(A)?.ip, '10.1.1.10');
  const expected = {
    224: '0005',
    225: '05',
    226: '00000005',
    227: '6d61ff',
    228: '12',
    229: '613a622f632e642d65',
    230: '6162',
  };
  for (const [code, hex] of Object.entries(expected))
    t.is(lab.options().get(Number(code)), hex, `option ${code}`);
});
