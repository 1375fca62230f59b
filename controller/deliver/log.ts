/** The slice of pino that delivery writes to. */
export interface Log {
  readonly debug: (context: object, message: string) => void;
  readonly info: (context: object, message: string) => void;
  readonly warn: (context: object, message: string) => void;
  readonly error: (context: object, message: string) => void;
}
