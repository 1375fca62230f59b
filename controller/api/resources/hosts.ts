import type { Condition, HostStatus } from 'documents';
import { Type } from 'typebox';
import { keyHash, newHostToken } from '../../auth/key.ts';
import { hostConditions } from '../../model/conditions.ts';
import { hostState } from '../../model/host-state.ts';
import { recordEvent } from '../../store/events.ts';
import { deleteRow, insertRow } from '../../store/rows.ts';
import { inUseProblems } from '../in-use.ts';
import { zoneFor } from '../references.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { body, Id, IdOrName, isoTime, Name, oneOf, textOrNull, resourceSchema } from '../schemas.ts';

const Host = resourceSchema('Host', 'A machine that runs routers and guests.', {
  zone: Id,
  name: Name,
  state: oneOf(['up', 'down', 'unknown']),
  lastSeenAt: textOrNull('ISO 8601.'),
  agentVersion: textOrNull(),
  generation: Type.Integer({ description: 'Generation of what it has to be.' }),
  observedGeneration: Type.Integer({ description: 'Generation it reported last.' }),
});

const kind: Kind<'host', typeof Host> = {
  name: 'host',
  path: 'hosts',
  word: 'Host',
  table: 'host',
  schema: Host,
  readers: 'admin',
  writers: 'admin',
  render: async (db, rows, now) => {
    const statuses =
      rows.length === 0
        ? []
        : await db
            .selectFrom('host_status')
            .selectAll()
            .where(
              'host_id',
              'in',
              rows.map(({ id }) => id),
            )
            .execute();
    const byHost = new Map(statuses.map((status) => [status.host_id, status]));
    return rows.map((row) => {
      const status = byHost.get(row.id);
      const reported: readonly Condition[] =
        status === undefined ? [] : (JSON.parse(status.status) as HostStatus).conditions;
      const observedGeneration = status?.observed_generation ?? 0;
      return {
        id: row.id,
        zone: row.zone_id,
        name: row.name,
        state: hostState(row.last_seen_at, now),
        lastSeenAt: row.last_seen_at === null ? null : isoTime(row.last_seen_at),
        agentVersion: row.agent_version,
        generation: row.generation,
        observedGeneration,
        createdAt: isoTime(row.created_at),
        conditions: hostConditions(
          {
            name: row.name,
            createdAt: row.created_at,
            generation: row.generation,
            lastSeenAt: row.last_seen_at,
            observedGeneration,
          },
          reported,
          now,
        ),
      };
    });
  },
};

export const hosts: Register = (resource) => {
  resource(kind)
    .list({
      filters: {
        zone: { column: 'zone_id', schema: Id },
        name: { column: 'name', schema: Name },
      },
    })
    .show()
    .create(
      body({ zone: Type.Optional(IdOrName), name: Name }),
      {
        once: { token: Type.String({ description: "The agent's token, shown this once." }) },
        description: 'Answers with the token its agent starts with; it is not shown again.',
      },
      async (write) => {
        const { trx, body, findings } = write;
        const zone = await zoneFor(write, body.zone);
        findings.check();
        const token = newHostToken();
        const row = await insertRow(trx, 'host', 'host', {
          zone_id: zone?.id as string,
          name: body.name,
          token_hash: keyHash(token),
          generation: 1,
          last_seen_at: null,
          agent_version: null,
        });
        await recordEvent(trx, {
          account: null,
          type: 'host.created',
          resource: row.id,
          message: `Host ${row.name} was created`,
        });
        return { id: row.id, once: { token } };
      },
    )
    .remove(async ({ trx, findings }, row) => {
      findings.add(
        await inUseProblems(trx, 'host', row.id, [
          ['router', 'host_id', 'router'],
          ['instance', 'host_id', 'instance'],
        ]),
        409,
      );
      findings.check();
      await deleteRow(trx, 'host', row.id);
      await recordEvent(trx, {
        account: null,
        type: 'host.removed',
        resource: row.id,
        message: `Host ${row.name} was removed`,
      });
      return {};
    });
};
