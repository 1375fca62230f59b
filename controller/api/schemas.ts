/** What the resources' schemas are made of. */
import { Condition } from 'documents';
import { type Static, type TObject, type TProperties, type TSchema, Type } from 'typebox';

/** One of a few words. A JSON Schema `enum`, so that a wrong one gives one error and not one for each. */
export const oneOf = <const Words extends readonly string[]>(
  words: Words,
  options: { description?: string; default?: Words[number] } = {},
) => Type.Unsafe<Words[number]>({ type: 'string', enum: [...words], ...options });

/** A text or null. As a union of types, which serialises without trying members. */
export const textOrNull = (description?: string) =>
  Type.Unsafe<string | null>({
    type: ['string', 'null'],
    ...(description === undefined ? {} : { description }),
  });

/** A whole number or null. */
export const numberOrNull = (description?: string) =>
  Type.Unsafe<number | null>({
    type: ['integer', 'null'],
    ...(description === undefined ? {} : { description }),
  });

/** A reference that keeps its type and lands under `components/schemas`. */
export const ref = <Schema extends TSchema & { $id?: string }>(schema: Schema) =>
  Type.Unsafe<Static<Schema>>({ $ref: `${schema.$id}#` });

export const Name = Type.String({
  format: 'name',
  minLength: 1,
  maxLength: 63,
  description: 'Printable, 1 to 63 characters, without quotes and line breaks.',
});
/** Id of a resource, or its name where that is unique. */
export const IdOrName = Type.String({ minLength: 1, maxLength: 63 });
export const Id = Type.String({ minLength: 1, maxLength: 63 });
export const Port = Type.Integer({ minimum: 1, maximum: 65535 });
export const Ipv4 = Type.String({ format: 'ipv4' });
export const Ip = Type.String({ format: 'ip' });
export const Ipv4Prefix = Type.String({ format: 'ipv4-prefix' });

/** Fields a resource has besides its own. */
const common = {
  id: Type.String({ description: 'Opaque, with a readable prefix.' }),
  createdAt: Type.String({ description: 'ISO 8601, UTC.' }),
  conditions: Type.Array(Condition, {
    description: 'What is so, and why: wanted against reported.',
  }),
};

/** Schema of a resource as it is answered: `$id` is its name in the OpenAPI document. */
export const resourceSchema = <Properties extends TProperties>(
  $id: string,
  description: string,
  properties: Properties,
) =>
  Type.Object(
    {
      id: common.id,
      ...properties,
      createdAt: common.createdAt,
      conditions: common.conditions,
      operation: Type.Optional(
        textOrNull('On writes: id of the operation to wait for, null when nothing follows.'),
      ),
    },
    { $id, description, additionalProperties: false },
  );

/** Body of a request: nothing but the fields listed. */
export const body = <Properties extends TProperties>(properties: Properties): TObject<Properties> =>
  Type.Object(properties, { additionalProperties: false });

export const Problem = Type.Object(
  {
    pointer: Type.String({ description: 'RFC 6901 pointer into the body; `?name` for the query string.' }),
    code: Type.String(),
    message: Type.String(),
    hint: Type.String({ description: 'What to do about it.' }),
  },
  { $id: 'Problem', additionalProperties: false },
);

export const ProblemDocument = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: 'Stable, for programs.' }),
    detail: Type.String(),
    instance: Type.Optional(Type.String({ description: 'Id of the request, as in the log.' })),
    problems: Type.Array(ref(Problem)),
  },
  { $id: 'ProblemDocument', description: 'RFC 9457.', additionalProperties: false },
);

/** Time of day in the API. */
export const isoTime = (time: number): string => new Date(time).toISOString();
