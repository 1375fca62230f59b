import type { Problem } from 'documents';
import type { FastifyReply } from 'fastify';

const titles: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Not authenticated',
  404: 'Not found',
  413: 'Too large',
  422: 'Not acceptable as it is',
  500: 'Internal error',
};

/** Answers with an RFC 9457 problem document. */
export const problemReply = (
  reply: FastifyReply,
  status: number,
  code: string,
  detail: string,
  problems: readonly Problem[] = [],
): FastifyReply =>
  reply
    .code(status)
    .type('application/problem+json')
    .send({ type: 'about:blank', title: titles[status] ?? 'Error', status, code, detail, problems });
