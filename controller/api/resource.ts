/**
 * How every resource is served: list, show, create, change, remove, each with the conventions of docs/contracts.md.
 * A resource's own file says what it looks like and what its writes do; this one knows about paging, walls between
 * accounts, ETags, idempotency, dry runs and waiting.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Static, type TObject, type TProperties, type TSchema, Type } from 'typebox';
import { type Caller, isAdmin } from '../auth/caller.ts';
import { Findings } from '../model/findings.ts';
import { notFound } from '../model/refusal.ts';
import { findRow, pageRows } from '../store/rows.ts';
import type { ResourceTable } from '../store/schema.ts';
import { type Db, pendingOf, type Trx } from '../store/transaction.ts';
import type { ApiContext } from './context.ts';
import {
  checkMatch,
  etagOf,
  idempotencyKey,
  idParams,
  listQuery,
  pathOf,
  problems,
  requireAdmin,
  security,
  type WriteQuery,
  writeQuery,
} from './conventions.ts';
import { durationOf } from './formats.ts';
import {
  answerBefore,
  type IdempotentRequest,
  keepAnswer,
  requestHash,
  type StoredAnswer,
} from './idempotency.ts';
import type { Kind, ListOptions, Row, RowOf, Write, Written } from './kind.ts';
import { Plan, planAnswer, rehearse } from './plan-answer.ts';
import { ref } from './schemas.ts';
import { waitForOperation } from './wait.ts';

/** Serves one kind of resource under `/v1`. */
export class Resource<Table extends ResourceTable, Shape extends TSchema> {
  readonly #app: FastifyInstance;
  readonly #context: ApiContext;
  readonly kind: Kind<Table, Shape>;

  constructor(app: FastifyInstance, context: ApiContext, kind: Kind<Table, Shape>) {
    this.#app = app;
    this.#context = context;
    this.kind = kind;
    app.addSchema(kind.schema);
  }

  /** The row as the caller may see it. @throws {Refusal} 404, 403. */
  async visible(db: Db, caller: Caller, id: string): Promise<Row<Table>> {
    const { kind } = this;
    if (kind.readers === 'admin') requireAdmin(caller);
    const row = await findRow(db, kind.table, id);
    if (row === undefined) throw notFound(kind.name, id);
    if (kind.readers === 'owner' && !isAdmin(caller)) {
      const owner =
        kind.ownerOf === undefined
          ? (row as { account_id?: string | null }).account_id
          : await kind.ownerOf(db, row);
      if (owner !== caller.account) throw notFound(kind.name, id);
    }
    return row as Row<Table>;
  }

  async #one(db: Db, row: RowOf<Table>, now: number): Promise<Record<string, unknown>> {
    const [resource] = await this.kind.render(db, [row], now);
    return resource as Record<string, unknown>;
  }

  list({ filters = {}, lookups = {}, scope }: ListOptions = {}): this {
    const { kind } = this;
    const query = listQuery({
      ...Object.fromEntries(
        Object.entries({ ...filters, ...lookups }).map(([name, { schema }]) => [name, Type.Optional(schema)]),
      ),
      ...(kind.readers === 'owner'
        ? { account: Type.Optional(Type.String({ maxLength: 64, description: 'Id of an account.' })) }
        : {}),
    });
    this.#app.route({
      method: 'GET',
      url: `/v1/${kind.path}`,
      schema: {
        operationId: `list${kind.word}s`,
        tags: [kind.path],
        summary: `Lists ${kind.name}s, oldest first`,
        security,
        querystring: query,
        response: {
          200: Type.Object({
            items: Type.Array(ref(kind.schema)),
            next: Type.Unsafe<string | null>({
              type: ['string', 'null'],
              description: 'Cursor of the next page, null at the end.',
            }),
          }),
          ...problems,
        },
      },
      handler: async (request) => {
        const { caller } = request;
        const { limit, cursor, account, ...asked } = request.query as Record<string, string> & {
          limit: number;
          cursor?: string;
          account?: string;
        };
        if (kind.readers === 'admin') requireAdmin(caller);
        const where: Record<string, string | number | readonly string[] | undefined> = {};
        for (const [name, { column }] of Object.entries(filters)) where[column] = asked[name];
        if (kind.readers === 'owner' && kind.ownerOf === undefined) {
          where['account_id'] = isAdmin(caller) ? account : caller.account;
          if (!isAdmin(caller) && account !== undefined && account !== caller.account)
            throw notFound('account', account);
        }
        const { db } = this.#context.store;
        const narrow = (column: string, ids: readonly string[]): void => {
          const wanted = where[column];
          where[column] =
            wanted === undefined
              ? ids
              : ids.filter((id) => (Array.isArray(wanted) ? wanted.includes(id) : id === wanted));
        };
        for (const [name, { column, values }] of Object.entries(lookups)) {
          const text = asked[name];
          if (text !== undefined) narrow(column, await values(db, text));
        }
        const scoped = scope === undefined ? {} : await scope(db, caller);
        for (const [column, ids] of Object.entries(scoped)) narrow(column, ids);
        const page = await pageRows(db, kind.table, { limit, cursor, where });
        const items = await kind.render(db, page.items, this.#context.store.now());
        return { items, next: page.next };
      },
    });
    return this;
  }

  show(): this {
    const { kind } = this;
    this.#app.route({
      method: 'GET',
      url: `/v1/${kind.path}/:id`,
      schema: {
        operationId: `get${kind.word}`,
        tags: [kind.path],
        summary: `Shows a ${kind.name}`,
        security,
        params: idParams,
        response: { 200: ref(kind.schema), ...problems },
      },
      handler: async (request, reply) => {
        const { store } = this.#context;
        const row = await this.visible(store.db, request.caller, (request.params as { id: string }).id);
        reply.header('etag', etagOf(row.version));
        return this.#one(store.db, row, store.now());
      },
    });
    return this;
  }

  /** `POST /v1/<kind>`. */
  create<Body extends TObject>(
    body: Body,
    options: {
      readonly once?: TProperties;
      readonly description?: string;
      /** Bytes of a request, where the usual does not do. */
      readonly bodyLimit?: number;
    },
    work: (write: Write<Static<Body>>) => Promise<Written>,
  ): this {
    const { kind } = this;
    const answered =
      options.once === undefined
        ? ref(kind.schema)
        : Type.Unsafe({
            allOf: [{ $ref: `${kind.schema.$id}#` }, Type.Object(options.once)],
          });
    this.#app.route({
      method: 'POST',
      url: `/v1/${kind.path}`,
      ...(options.bodyLimit === undefined
        ? {}
        : {
            bodyLimit: options.bodyLimit,
            // Before so much is read: whoever may not write is not to fill our memory.
            onRequest: async (request: FastifyRequest): Promise<void> => this.#checkWriter(request.caller),
          }),
      schema: {
        operationId: `create${kind.word}`,
        tags: [kind.path],
        summary: `Creates a ${kind.name}`,
        ...(options.description === undefined ? {} : { description: options.description }),
        security,
        headers: Type.Object({
          'idempotency-key': Type.Optional(
            Type.String({ description: 'A repeat with the same key gets the same answer and does nothing.' }),
          ),
        }),
        querystring: writeQuery,
        body,
        response: { 200: ref(Plan), 201: answered, ...problems },
      },
      handler: (request, reply) =>
        this.#write(request, reply, 201, async (trx) => {
          this.#checkWriter(request.caller);
          return this.#run(trx, request, request.body as Static<Body>, work);
        }),
    });
    return this;
  }

  /** `PATCH /v1/<kind>/{id}`. Fields that are left out stay. */
  change<Body extends TObject>(
    body: Body,
    work: (write: Write<Static<Body>>, row: Row<Table>) => Promise<Omit<Written, 'id'>>,
  ): this {
    return this.action(
      'PATCH',
      '',
      { operationId: `update${this.kind.word}`, summary: 'Changes' },
      body,
      work,
    );
  }

  /** `DELETE /v1/<kind>/{id}`: answers with what was removed. */
  remove(work: (write: Write<undefined>, row: Row<Table>) => Promise<Omit<Written, 'id'>>): this {
    return this.action(
      'DELETE',
      '',
      { operationId: `delete${this.kind.word}`, summary: 'Removes' },
      null,
      work as (write: Write<unknown>, row: Row<Table>) => Promise<Omit<Written, 'id'>>,
    );
  }

  /** A write to one resource that answers with it. */
  action<Body extends TObject>(
    method: 'PATCH' | 'POST' | 'DELETE',
    suffix: string,
    words: { readonly operationId: string; readonly summary: string },
    body: Body | null,
    work: (write: Write<Static<Body>>, row: Row<Table>) => Promise<Omit<Written, 'id'>>,
  ): this {
    const { kind } = this;
    this.#app.route({
      method,
      url: `/v1/${kind.path}/:id${suffix}`,
      schema: {
        operationId: words.operationId,
        tags: [kind.path],
        summary: `${words.summary} a ${kind.name}`,
        security,
        params: idParams,
        headers: Type.Object({
          'if-match': Type.Optional(
            Type.String({
              description: 'ETag the change is meant for; refused with 412 when it is another.',
            }),
          ),
        }),
        querystring: writeQuery,
        ...(body === null ? {} : { body }),
        response: {
          200: Type.Unsafe({ anyOf: [{ $ref: `${kind.schema.$id}#` }, { $ref: 'Plan#' }] }),
          ...problems,
        },
      },
      handler: (request, reply) =>
        this.#write(request, reply, 200, async (trx) => {
          const row = await this.visible(trx, request.caller, (request.params as { id: string }).id);
          this.#checkWriter(request.caller);
          checkMatch(request, row.version);
          const removed = method === 'DELETE' ? await this.#one(trx, row, pendingOf(trx).now) : undefined;
          const written = await this.#run(trx, request, request.body as Static<Body>, async (write) => ({
            ...(await work(write, row)),
            id: row.id,
          }));
          return removed === undefined ? written : { ...written, removed };
        }),
    });
    return this;
  }

  #checkWriter(caller: Caller): void {
    if (this.kind.writers === 'admin') requireAdmin(caller);
  }

  async #run<Body>(
    trx: Trx,
    request: FastifyRequest,
    body: Body,
    work: (write: Write<Body>) => Promise<Written>,
  ): Promise<Written> {
    const findings = new Findings();
    const { now } = pendingOf(trx);
    const written = await work({ trx, context: this.#context, caller: request.caller, body, now, findings });
    findings.check();
    return written;
  }

  /** Runs a write in its transaction, or only tries it, and answers. */
  async #write(
    request: FastifyRequest,
    reply: FastifyReply,
    status: number,
    work: (trx: Trx) => Promise<Written & { readonly removed?: Record<string, unknown> }>,
  ): Promise<unknown> {
    const { store } = this.#context;
    const query = request.query as WriteQuery;
    const answer = async (trx: Trx): Promise<StoredAnswer> => {
      const { id, operation = null, once = {}, removed } = await work(trx);
      if (removed !== undefined)
        return { status, etag: null, location: null, body: { ...removed, operation } };
      const row = (await findRow(trx, this.kind.table, id)) as Row<Table>;
      return {
        status,
        etag: etagOf(row.version),
        location: status === 201 ? `/v1/${this.kind.path}/${id}` : null,
        body: { ...(await this.#one(trx, row, pendingOf(trx).now)), ...once, operation },
      };
    };
    if (query.dryRun === 'plan')
      return rehearse(store, async (trx) => planAnswer(trx, (await answer(trx)).body));
    const key = status === 201 ? idempotencyKey(request) : null;
    const idempotent: IdempotentRequest | null =
      key === null
        ? null
        : {
            account: request.caller.account,
            key,
            hash: requestHash(request.method, pathOf(request), request.body),
          };
    const given = await store.transaction(async (trx) => {
      const before = idempotent === null ? null : await answerBefore(store, trx, idempotent);
      if (before !== null) return before;
      const fresh = await answer(trx);
      if (idempotent !== null) await keepAnswer(store, trx, idempotent, fresh);
      return fresh;
    });
    reply.code(given.status);
    if (given.location !== null) reply.header('location', given.location);
    const { body } = given;
    const operation = body['operation'] as string | null;
    if (query.wait !== undefined && operation !== null) {
      await waitForOperation(store, operation, durationOf(query.wait) ?? 0);
      const row = await findRow(store.db, this.kind.table, body['id'] as string);
      if (row !== undefined) {
        reply.header('etag', etagOf((row as Row<Table>).version));
        return { ...body, ...(await this.#one(store.db, row, store.now())) };
      }
    } else if (given.etag !== null) reply.header('etag', given.etag);
    return body;
  }
}
