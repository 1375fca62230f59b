export type AgentErrorCode =
  /** There is no such router. */
  | 'ROUTER_UNKNOWN'
  /** The agent of the host has no channel open. */
  | 'HOST_NOT_CONNECTED'
  /** The agent did not answer in time, or its channel closed before it did. */
  | 'AGENT_TIMEOUT'
  /** The agent answered that it cannot: the message is its own. */
  | 'AGENT_REFUSED';

/** A request to a host agent that came to nothing. */
export class AgentError extends Error {
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'AgentError';
    this.code = code;
  }
}
