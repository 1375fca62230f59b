import type { FastifyInstance } from 'fastify';
import type { TSchema } from 'typebox';
import type { ResourceTable } from '../store/schema.ts';
import type { ApiContext } from './context.ts';
import type { Kind } from './kind.ts';
import type { Resource } from './resource.ts';

/** Begins the routes of one kind of resource. */
export type Serve = <Table extends ResourceTable, Shape extends TSchema>(
  kind: Kind<Table, Shape>,
) => Resource<Table, Shape>;

/** What a resource's file exports: adds its routes. */
export type Register = (resource: Serve, app: FastifyInstance, context: ApiContext) => void;
