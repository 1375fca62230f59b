import { Type } from 'typebox';
import { LARGEST_BUNDLE, readUpload } from '../../bundles/take-bundle.ts';
import { recorded } from '../../model/conditions.ts';
import { problem } from '../../model/problem.ts';
import { recordEvent } from '../../store/events.ts';
import { deleteRow, insertRow } from '../../store/rows.ts';
import { bundlesOf, keepContent, setDefaultBundle } from '../../store/router-bundles.ts';
import { runWithBundle } from '../../store/upgrade-runs.ts';
import { workflowWith } from '../../store/workflows.ts';
import { inUseProblems } from '../in-use.ts';
import type { Kind } from '../kind.ts';
import type { Register } from '../register.ts';
import { body, isoTime, resourceSchema } from '../schemas.ts';

const isDefault = Type.Boolean({
  description: 'Whether this is what routers are to run: new ones get it, others need a patch to it.',
});
const checksum = Type.String({ description: 'SHA-256 of the file, hexadecimal.', maxLength: 64 });

const RouterBundle = resourceSchema('RouterBundle', 'The program of routers: one signed file.', {
  version: Type.String(),
  checksum,
  keyId: Type.String({ description: 'Which key signed it: SHA-256 of the public key, the first 16 digits.' }),
  size: Type.Integer({ description: 'Bytes.' }),
  default: isDefault,
  routers: Type.Integer({ description: 'How many routers are to run it.' }),
});

const kind: Kind<'router_bundle', typeof RouterBundle> = {
  name: 'router bundle',
  path: 'router-bundles',
  word: 'RouterBundle',
  table: 'router_bundle',
  schema: RouterBundle,
  readers: 'admin',
  writers: 'admin',
  render: async (db, rows) => {
    const counts = await db
      .selectFrom('router')
      .select((eb) => ['bundle_id', eb.fn.countAll<number>().as('routers')])
      .where('bundle_id', 'is not', null)
      .groupBy('bundle_id')
      .execute();
    const routers = new Map(counts.map((count) => [count.bundle_id, Number(count.routers)]));
    return rows.map((row) => ({
      id: row.id,
      version: row.bundle_version,
      checksum: row.checksum,
      keyId: row.key_id,
      size: row.size,
      default: row.is_default === 1,
      routers: routers.get(row.id) ?? 0,
      createdAt: isoTime(row.created_at),
      conditions: recorded(row.created_at, true, row.is_default === 1 ? 'Default' : 'Kept'),
    }));
  },
};

export const routerBundles: Register = (resource, _app, { trustedKeys }) => {
  resource(kind)
    .list({ filters: { checksum: { column: 'checksum', schema: checksum } } })
    .show()
    .create(
      body({
        content: Type.String({
          minLength: 1,
          maxLength: Math.ceil(LARGEST_BUNDLE / 3) * 4,
          description: 'The whole file, base64.',
        }),
        default: Type.Optional(isDefault),
      }),
      {
        description:
          'Takes a file that a trusted key has signed. The first one there is becomes the default.',
        bodyLimit: LARGEST_BUNDLE * 2,
      },
      async ({ trx, body, findings }) => {
        const upload = readUpload(body.content, trustedKeys);
        if ('problem' in upload) {
          findings.add([upload.problem]);
          findings.check();
          throw new TypeError('A problem was found and not told');
        }
        const { file, bundle } = upload;
        const held = await bundlesOf(trx);
        const same = held.find((other) => other.checksum === bundle.checksum);
        if (same !== undefined) {
          findings.add(
            [
              problem(
                '/content',
                'bundle-exists',
                `This file is there already, as ${same.id}`,
                `Use ${same.id}, or make it the default: selvage router-bundle update ${same.id} --default.`,
              ),
            ],
            409,
          );
          findings.check();
        }
        const row = await insertRow(trx, 'router_bundle', 'bdl', {
          bundle_version: bundle.version,
          checksum: bundle.checksum,
          key_id: bundle.keyId,
          size: file.length,
          is_default: 0,
        });
        await keepContent(trx, row.id, file);
        if (body.default === true || (body.default !== false && held.length === 0))
          await setDefaultBundle(trx, row.id);
        await recordEvent(trx, {
          account: null,
          type: 'router-bundle.created',
          resource: row.id,
          message: `Router bundle ${bundle.version} was taken, signed by ${bundle.keyId}`,
        });
        return { id: row.id };
      },
    )
    .change(
      body({
        default: Type.Literal(true, {
          description: 'Makes it the default; the one that was is not any more.',
        }),
      }),
      async ({ trx }, row) => {
        if (row.is_default === 1) return {};
        await setDefaultBundle(trx, row.id);
        await recordEvent(trx, {
          account: null,
          type: 'router-bundle.made-default',
          resource: row.id,
          message: `Routers are to run the bundle ${row.bundle_version}`,
        });
        return {};
      },
    )
    .remove(async ({ trx, findings }, row) => {
      if (row.is_default === 1)
        findings.add(
          [
            problem(
              '',
              'is-default',
              `${row.id} is what routers are to run`,
              'Make another the default first.',
            ),
          ],
          409,
        );
      findings.add(
        await inUseProblems(trx, 'router bundle', row.id, [['router', 'bundle_id', 'router']]),
        409,
      );
      const workflow = await workflowWith(trx, row.id);
      if (workflow !== undefined)
        findings.add(
          [
            problem(
              '',
              'in-use',
              `The workflow ${workflow} may go back to ${row.id}`,
              `Wait for its end: selvage workflow show ${workflow}.`,
            ),
          ],
          409,
        );
      const run = await runWithBundle(trx, row.id);
      if (run !== undefined)
        findings.add(
          [
            problem(
              '',
              'in-use',
              `The upgrade run ${run} brings routers to ${row.id}, or may take them back to it`,
              `Wait for its end, or abort it: selvage upgrade-run abort ${run}.`,
            ),
          ],
          409,
        );
      findings.check();
      await deleteRow(trx, 'router_bundle', row.id);
      await recordEvent(trx, {
        account: null,
        type: 'router-bundle.removed',
        resource: row.id,
        message: `Router bundle ${row.bundle_version} was removed`,
      });
      return {};
    });
};
