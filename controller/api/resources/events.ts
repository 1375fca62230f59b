import type { FastifyReply } from 'fastify';
import type { Selectable } from 'kysely';
import { Type } from 'typebox';
import { type Caller, isAdmin } from '../../auth/caller.ts';
import { notFound } from '../../model/refusal.ts';
import type { EventTable } from '../../store/schema.ts';
import type { Db } from '../../store/transaction.ts';
import type { ApiContext } from '../context.ts';
import type { Register } from '../register.ts';
import { problems } from '../conventions.ts';
import { isoTime, oneOf, ref, textOrNull } from '../schemas.ts';

const level = oneOf(['info', 'warning', 'error']);

const Event = Type.Object(
  {
    id: Type.String(),
    time: Type.String({ description: 'ISO 8601.' }),
    type: Type.String({ description: 'Stable: network.created, router.drift-healed ...' }),
    level,
    account: textOrNull('Null: for administrators.'),
    resource: Type.String({ description: 'Id of what it is about.' }),
    message: Type.String(),
  },
  { $id: 'Event', description: 'Something that happened.', additionalProperties: false },
);

type EventRow = Selectable<EventTable>;

const render = (row: EventRow) => ({
  id: row.id,
  time: isoTime(row.created_at),
  type: row.type,
  level: row.level,
  account: row.account_id,
  resource: row.resource,
  message: row.message,
});

interface Filter {
  readonly type?: string | undefined;
  readonly level?: EventRow['level'] | undefined;
  readonly resource?: string | undefined;
  readonly account?: string | undefined;
}

/** Events a caller may see, in the order they came or the newest first, from behind a sequence on. */
const eventsAfter = (
  db: Db,
  caller: Caller,
  filter: Filter,
  after: number,
  limit: number,
  order: 'asc' | 'desc' = 'asc',
): Promise<EventRow[]> => {
  let query = db.selectFrom('event').selectAll().where('sequence', '>', after);
  const account = isAdmin(caller) ? filter.account : caller.account;
  if (account !== undefined) query = query.where('account_id', '=', account);
  if (filter.type !== undefined) query = query.where('type', '=', filter.type);
  if (filter.level !== undefined) query = query.where('level', '=', filter.level);
  if (filter.resource !== undefined) query = query.where('resource', '=', filter.resource);
  return query.orderBy('sequence', order).limit(limit).execute();
};

const query = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
    cursor: Type.Optional(
      Type.String({ pattern: '^[0-9]{1,15}$', description: '`next` of the page before.' }),
    ),
    type: Type.Optional(Type.String({ maxLength: 64 })),
    level: Type.Optional(level),
    resource: Type.Optional(Type.String({ maxLength: 64 })),
    account: Type.Optional(Type.String({ maxLength: 64 })),
    order: Type.Optional(
      oneOf(['asc', 'desc'], { description: 'desc: the newest first, without paging. Default asc.' }),
    ),
  },
  { additionalProperties: false },
);

/** Between two comments that keep proxies from closing an idle stream, ms. */
const HEARTBEAT = 15_000;
/** More than this unread, and the reader is cut off: it resumes by Last-Event-ID. Bytes. */
const CHOKED = 1 << 20;

/** Writes events as they come until the reader leaves or the server stops (WHATWG HTML, 9.2 server-sent events). */
const stream = (
  context: ApiContext,
  reply: FastifyReply,
  caller: Caller,
  filter: Filter,
  from: number,
  streams: Set<() => void>,
): void => {
  const { store, log } = context;
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  raw.write(': events\n\n');
  let after = from;
  let reading = false;
  let again = false;
  let ended = false;
  const read = async (): Promise<void> => {
    if (reading) {
      again = true;
      return;
    }
    reading = true;
    try {
      do {
        again = false;
        const rows = await eventsAfter(store.db, caller, filter, after, 500);
        for (const row of rows) {
          if (ended) return;
          raw.write(`id: ${row.id}\nevent: ${row.type}\ndata: ${JSON.stringify(render(row))}\n\n`);
          after = row.sequence;
        }
        if (rows.length === 500) again = true;
        if (raw.writableLength > CHOKED) end();
      } while (again && !ended);
    } catch (error) {
      log.error({ err: error }, 'event stream ends');
      end();
    } finally {
      reading = false;
    }
  };
  const stop = store.onChange(({ events }) => {
    if (events > after) void read();
  });
  const heartbeat = setInterval(() => raw.write(': \n\n'), HEARTBEAT);
  const end = (): void => {
    if (ended) return;
    ended = true;
    stop();
    clearInterval(heartbeat);
    streams.delete(end);
    raw.end();
  };
  streams.add(end);
  raw.on('close', end);
  raw.on('error', end);
  void read();
};

export const events: Register = (_resource, app, context) => {
  const { store } = context;
  const streams = new Set<() => void>();
  app.addSchema(Event);
  app.addHook('preClose', async () => {
    for (const end of streams) end();
  });

  app.route({
    method: 'GET',
    url: '/v1/events',
    schema: {
      operationId: 'listEvents',
      tags: ['events'],
      summary: 'Lists events, oldest first, or follows them',
      description:
        'With `Accept: text/event-stream` the answer is a stream of server-sent events: those to come, or with ' +
        '`Last-Event-ID` those since that one.',
      security: [{ apiKey: [] }],
      querystring: query,
      headers: Type.Object({
        'last-event-id': Type.Optional(Type.String({ maxLength: 64 })),
      }),
      response: {
        200: Type.Object({ items: Type.Array(ref(Event)), next: textOrNull('Cursor of the next page.') }),
        ...problems,
      },
    },
    handler: async (request, reply) => {
      const { caller } = request;
      const { limit, cursor, order, ...filter } = request.query as Filter & {
        limit: number;
        cursor?: string;
        order?: 'asc' | 'desc';
      };
      if (!isAdmin(caller) && filter.account !== undefined && filter.account !== caller.account)
        throw notFound('account', filter.account);
      if (request.headers.accept?.includes('text/event-stream') === true) {
        const from = await sequenceOf(store.db, request.headers['last-event-id']);
        stream(context, reply, caller, filter, from, streams);
        return reply;
      }
      if (order === 'desc') {
        const rows = await eventsAfter(store.db, caller, filter, 0, limit, 'desc');
        return { items: rows.map(render), next: null };
      }
      const rows = await eventsAfter(
        store.db,
        caller,
        filter,
        cursor === undefined ? 0 : Number(cursor),
        limit + 1,
      );
      const items = rows.slice(0, limit);
      return {
        items: items.map(render),
        next: rows.length > limit ? String(items.at(-1)?.sequence) : null,
      };
    },
  });
};

/** Where a stream goes on: behind the event named; behind the newest without one; from the start when it is forgotten. */
const sequenceOf = async (db: Db, lastEventId: string | string[] | undefined): Promise<number> => {
  if (typeof lastEventId === 'string') {
    const row = await db
      .selectFrom('event')
      .select('sequence')
      .where('id', '=', lastEventId)
      .executeTakeFirst();
    return row?.sequence ?? 0;
  }
  const row = await db
    .selectFrom('event')
    .select((eb) => eb.fn.max('sequence').as('newest'))
    .executeTakeFirst();
  return Number(row?.newest ?? 0);
};
