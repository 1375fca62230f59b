export type ServiceErrorCode =
  /** The program ended while it was starting. */
  | 'service-exited'
  /** It runs but did not answer in time. */
  | 'service-not-ready'
  /** It did not end, not even when killed. */
  | 'service-not-ending'
  /** It answered, but not what its protocol says. */
  | 'service-protocol'
  /** It was asked about a configuration and was killed, or could not be started, before it said anything. */
  | 'service-no-verdict'
  /** A path is too long for a unix socket (unix(7): 107 bytes). */
  | 'socket-path-too-long';

/** A daemon of the router did not do as it was told. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: ServiceErrorCode;

  constructor(code: ServiceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
