import { type Static, Type } from 'typebox';

/**
 * One statement about a resource or program: is `type` the case, since when, and why. Conditions replace log
 * reading: the list is complete and current, and `observedGeneration` says which intent it speaks of.
 */
export const Condition = Type.Object(
  {
    type: Type.String({
      description: 'What is stated, CamelCase: `Ready`, `Applied`, `Drifted`.',
      minLength: 1,
      maxLength: 63,
    }),
    status: Type.Union([Type.Literal('True'), Type.Literal('False'), Type.Literal('Unknown')]),
    reason: Type.String({
      description: 'Stable CamelCase word for programs: `DnsmasqExited`.',
      minLength: 1,
      maxLength: 63,
    }),
    message: Type.String({
      description: 'For people: what is so, and what to do when it is not well.',
      maxLength: 4096,
    }),
    observedGeneration: Type.Integer({ description: 'Generation of the intent this speaks of.', minimum: 0 }),
    lastTransitionTime: Type.Integer({
      description: 'When `status` last changed, ms since the epoch.',
      minimum: 0,
    }),
  },
  { additionalProperties: false },
);
export type Condition = Static<typeof Condition>;
