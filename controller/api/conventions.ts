/** The conventions of docs/contracts.md that every route shares: parameters, headers, who may. */
import type { FastifyRequest } from 'fastify';
import { type Static, type TProperties, Type } from 'typebox';
import { type Caller, isAdmin } from '../auth/caller.ts';
import { Refusal } from '../model/refusal.ts';
import { ProblemDocument, ref } from './schemas.ts';

export const idParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) });

export const listQuery = <Properties extends TProperties>(properties: Properties) =>
  Type.Object(
    {
      limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
      cursor: Type.Optional(Type.String({ format: 'cursor', maxLength: 128 })),
      ...properties,
    },
    { additionalProperties: false },
  );

export const writeQuery = Type.Object(
  {
    wait: Type.Optional(
      Type.String({
        format: 'duration',
        description: 'Answer when the work that follows is done, or after this time: `30s`.',
      }),
    ),
    dryRun: Type.Optional(
      Type.Unsafe<'plan'>({
        type: 'string',
        enum: ['plan'],
        description: 'Say what would happen; do nothing.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type WriteQuery = Static<typeof writeQuery>;

export const problems = { '4xx': ref(ProblemDocument), '5xx': ref(ProblemDocument) } as const;
export const security = [{ apiKey: [] }];

/** @throws {Refusal} 403 when only administrators may. */
export const requireAdmin = (caller: Caller): void => {
  if (!isAdmin(caller)) throw new Refusal(403, 'admin-only', 'Only an administrator may do this');
};

export const etagOf = (version: number): string => `"${version}"`;

/** @throws {Refusal} 412 when `If-Match` (RFC 9110, 13.1.1) names another version. */
export const checkMatch = (request: FastifyRequest, version: number): void => {
  const header = request.headers['if-match'];
  if (header === undefined || header.trim() === '*') return;
  if (header.split(',').some((tag) => tag.trim() === etagOf(version))) return;
  throw new Refusal(
    412,
    'version-mismatch',
    `This is version ${version}; the request is for ${header}. Read it again and decide anew.`,
  );
};

export const idempotencyKey = (request: FastifyRequest): string | null => {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new Refusal(422, 'invalid-request', 'An Idempotency-Key has 1 to 255 visible ASCII characters');
};

export const pathOf = (request: FastifyRequest): string => request.url.split('?')[0] ?? '';
