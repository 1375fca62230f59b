/** One of the things an API answer says is wrong. */
export interface ApiProblem {
  readonly pointer: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** The API refused a call (RFC 9457 problem document). */
export class ApiError extends Error {
  readonly code: string;
  readonly status: number;
  readonly problems: readonly ApiProblem[];

  constructor(
    status: number,
    body: {
      readonly code?: string;
      readonly title?: string;
      readonly detail?: string;
      readonly problems?: readonly ApiProblem[];
    },
  ) {
    super(body.detail ?? body.title ?? `The API answered ${status}`);
    this.name = 'ApiError';
    this.code = body.code ?? `http-${status}`;
    this.status = status;
    this.problems = body.problems ?? [];
  }
}
