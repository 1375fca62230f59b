/** The agent's version, as reported. */
export const version = '0.1.0';
