import { type Static, Type } from 'typebox';
import { Generation, Hostname, Id } from '../scalars.ts';
import { Dns } from './dhcp.ts';
import { Handover } from './handover.ts';
import { type CollectionItem, type CollectionName, collectionNames, RouterDocument } from './document.ts';

const collectionChange = (items: (typeof RouterDocument)['properties'][CollectionName]) =>
  Type.Optional(
    Type.Object(
      {
        upsert: Type.Array(items.items, { description: 'Items that are new or differ, whole.' }),
        remove: Type.Array(Id, { description: 'Ids of items that are gone.' }),
      },
      { additionalProperties: false },
    ),
  );

/**
 * The difference between two generations of a router document, for a receiver that holds the first. The document stays
 * the truth: whoever cannot use a change (another base, a doubt) fetches the whole document instead.
 */
export const RouterDocumentChange = Type.Object(
  {
    schemaVersion: Type.Literal(1),
    id: Id,
    baseGeneration: Generation,
    generation: Generation,
    hostname: Type.Optional(Hostname),
    dns: Type.Optional(Dns),
    handover: Type.Optional(
      Type.Union([Handover, Type.Null()], { description: 'Null: there is none any more.' }),
    ),
    collections: Type.Object(
      Object.fromEntries(
        collectionNames.map((name) => [name, collectionChange(RouterDocument.properties[name])]),
      ),
      { additionalProperties: false },
    ),
  },
  { $id: 'RouterDocumentChange', additionalProperties: false },
);

export interface CollectionChange<Name extends CollectionName = CollectionName> {
  readonly upsert: readonly CollectionItem<Name>[];
  readonly remove: readonly string[];
}

export interface RouterDocumentChange
  extends Pick<
    Static<typeof RouterDocumentChange>,
    'schemaVersion' | 'id' | 'baseGeneration' | 'generation' | 'hostname' | 'dns' | 'handover'
  > {
  readonly collections: { readonly [Name in CollectionName]?: CollectionChange<Name> };
}
