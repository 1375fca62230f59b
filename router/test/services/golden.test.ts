/**
 * Golden cases: `router/<feature>/golden/<case>.txt` is one sentence of intent, the parts of a document that matter, and
 * the complete output. `GOLDEN=write npx ava router/test/services/golden.test.ts` writes the outputs anew.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { type RouterDocument, verifyRouterDocument } from 'documents';
import { dhcpFeature } from '../../dhcp/feature.ts';
import { dnsFeature } from '../../dns/feature.ts';
import { loadBalancerFeature } from '../../loadbalancer/feature.ts';
import { answer } from '../../metadata/answer.ts';
import { metadataFeature } from '../../metadata/feature.ts';
import { dnsmasqFiles } from '../../service/dnsmasq-setup.ts';
import { document } from './document.ts';

const dnsmasq = (value: RouterDocument): string =>
  dnsmasqFiles('/run/router/dnsmasq', { dns: dnsFeature.render(value), dhcp: dhcpFeature.render(value) })
    .map(({ path, text }) => `### ${path}\n${text}`)
    .join('\n');

const metadata = (value: RouterDocument): string => {
  const { listeners, guests } = metadataFeature.render(value);
  const lines = [`listens on ${listeners.join(', ') || 'nothing'}`];
  for (const [address, guest] of guests) {
    lines.push(
      '',
      `${address} is ${guest.instance}, ${guest.password === null ? 'without' : 'with'} a password`,
    );
    const paths = ['user-data', 'meta-data/', ...[...guest.keys.keys()].map((key) => `meta-data/${key}`)];
    for (const path of paths) {
      const { status, body } = answer(guest, `/latest/${path}`);
      lines.push(`${status} /latest/${path}: ${JSON.stringify(body.toString('latin1'))}`);
    }
  }
  return `${lines.join('\n')}\n`;
};

const outputs: Readonly<Record<string, (value: RouterDocument) => string>> = {
  dhcp: dnsmasq,
  dns: dnsmasq,
  loadbalancer: (value) => loadBalancerFeature.render(value).configuration,
  metadata,
};

const features = [dhcpFeature, dnsFeature, loadBalancerFeature, metadataFeature];

for (const [feature, output] of Object.entries(outputs)) {
  const folder = new URL(`../../${feature}/golden/`, import.meta.url);
  for (const name of readdirSync(folder)) {
    test(`${feature}: ${name.replace('.txt', '')}`, (t) => {
      const file = new URL(name, folder);
      const [intent = '', parts = '', expected = ''] = readFileSync(file, 'utf8').split(/^=== .*\n/m);
      const value = document(JSON.parse(parts) as Partial<RouterDocument>);
      t.deepEqual(verifyRouterDocument(value), []);
      t.deepEqual(
        features.flatMap((each) => each.verify(value)),
        [],
      );
      const found = output(value);
      if (process.env['GOLDEN'] === 'write') {
        writeFileSync(
          file,
          `${intent.trimEnd()}\n\n=== document\n${parts.trimEnd()}\n\n=== output\n${found}`,
        );
      }
      t.is(found, process.env['GOLDEN'] === 'write' ? found : expected);
    });
  }
}
