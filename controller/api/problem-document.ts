/** Every way a request can fail, as RFC 9457 problem documents. The one place that maps errors to HTTP. */
import type { Problem } from 'documents';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Refusal } from '../model/refusal.ts';
import { constraintKind, violatedColumns } from '../store/store-error.ts';
import { validationProblems } from './validation.ts';

const titles: Readonly<Record<number, string>> = {
  400: 'The request cannot be read',
  401: 'Who is asking?',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Not possible here',
  409: 'Contradicts what is there',
  412: 'Changed in the meantime',
  413: 'Too large',
  415: 'Not JSON',
  422: 'The request is wrong',
  429: 'Too many requests',
  500: 'Our mistake',
  502: 'The host did not do it',
  503: 'Not available',
  504: 'The host did not answer',
};

export const sendProblem = (
  reply: FastifyReply,
  status: number,
  code: string,
  detail: string,
  problems: readonly Problem[] = [],
): FastifyReply =>
  reply
    .code(status)
    .type('application/problem+json')
    .send({
      type: `urn:selvage:problem:${code}`,
      title: titles[status] ?? 'Not done',
      status,
      code,
      detail,
      instance: reply.request.id,
      problems,
    });

/** Which field a unique constraint is about, by its last column. */
const fieldOf = (column: string): string => {
  const name = column.split('.').at(-1) ?? '';
  return name.replace(/_id$/, '').replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
};

const sendConstraint = (reply: FastifyReply, error: unknown): FastifyReply | null => {
  switch (constraintKind(error)) {
    case 'unique': {
      const field = fieldOf(violatedColumns(error).at(-1) ?? 'name');
      const message = `The ${field} is taken`;
      return sendProblem(reply, 409, 'conflict', message, [
        { pointer: `/${field}`, code: `${field}-taken`, message, hint: `Choose another ${field}.` },
      ]);
    }
    case 'reference':
      return sendProblem(reply, 409, 'in-use', 'Something still refers to it; remove that first.');
    case 'full':
      return sendProblem(reply, 503, 'store-full', 'The database cannot be written: the disk is full.');
    case null:
      return null;
  }
};

const codes: Readonly<Record<string, readonly [status: number, code: string, detail: string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, 'too-large', 'A request has at most 1 MiB.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [415, 'not-json', 'Send JSON with Content-Type: application/json.'],
  FST_ERR_CTP_EMPTY_JSON_BODY: [400, 'malformed-json', 'The body is empty; send a JSON object.'],
  FST_ERR_CTP_INVALID_JSON_BODY: [400, 'malformed-json', 'The body is not JSON.'],
};

/** @see sendProblem */
export const handleErrors = (app: FastifyInstance): void => {
  app.setNotFoundHandler((request, reply) => {
    sendProblem(reply, 404, 'no-such-route', `There is no ${request.method} ${request.url.split('?')[0]}`);
  });
  app.setErrorHandler((error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    if (error instanceof Refusal) {
      if (error.status === 401) reply.header('www-authenticate', 'Bearer realm="selvage"');
      return sendProblem(reply, error.status, error.code, error.message, error.problems);
    }
    if (error.validation !== undefined) {
      const part = error.validationContext ?? 'body';
      const root = part === 'body' ? request.body : part === 'params' ? request.params : request.query;
      const problems = validationProblems(error.validation, root, part);
      const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
      return sendProblem(
        reply,
        422,
        'invalid-request',
        `${problems[0]?.message ?? error.message}${more}`,
        problems,
      );
    }
    const known = codes[error.code];
    if (known !== undefined) return sendProblem(reply, ...known);
    // secure-json-parse throws these for bad JSON and for prototype poisoning.
    if (error instanceof SyntaxError && error.statusCode === 400)
      return sendProblem(reply, 400, 'malformed-json', `The body is not JSON: ${error.message}`);
    const constraint = sendConstraint(reply, error);
    if (constraint !== null) return constraint;
    if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500)
      return sendProblem(reply, error.statusCode, 'bad-request', error.message);
    request.log.error({ err: error }, 'request failed');
    return sendProblem(
      reply,
      500,
      'internal',
      `Something went wrong that is not your doing; the log has it under request ${request.id}.`,
    );
  });
};
