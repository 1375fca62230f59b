/**
 * The tables. Only types both SQLite and PostgreSQL have: text, integer, JSON as text, times as integer ms since the
 * epoch, truth as 0 or 1. Column names are snake_case; nothing outside `store/` sees them.
 */
import type { Generated } from 'kysely';

export interface Database {
  zone: ZoneTable;
  host: HostTable;
  account: AccountTable;
  api_key: ApiKeyTable;
  public_ip_range: PublicIpRangeTable;
  public_ip: PublicIpTable;
  network_offering: NetworkOfferingTable;
  network: NetworkTable;
  router: RouterTable;
  router_bundle: RouterBundleTable;
  router_bundle_content: RouterBundleContentTable;
  instance: InstanceTable;
  port: PortTable;
  firewall_rule: FirewallRuleTable;
  egress_rule: EgressRuleTable;
  port_forward: PortForwardTable;
  static_nat: StaticNatTable;
  load_balancer: LoadBalancerTable;
  load_balancer_member: LoadBalancerMemberTable;
  router_change: RouterChangeTable;
  router_status: RouterStatusTable;
  host_status: HostStatusTable;
  operation: OperationTable;
  workflow: WorkflowTable;
  upgrade_run: UpgradeRunTable;
  upgrade_run_router: UpgradeRunRouterTable;
  probe: ProbeTable;
  event: EventTable;
  idempotency_key: IdempotencyKeyTable;
}

export interface Row {
  id: string;
  created_at: number;
  /** Goes up with every change of the row; the ETag of the resource. */
  version: Generated<number>;
}

/** Tables whose rows are resources: they have id, created_at and version. */
export type ResourceTable = {
  [Name in keyof Database]: Database[Name] extends Row ? Name : never;
}[keyof Database];

export interface ZoneTable extends Row {
  name: string;
  /** JSON array of resolvers that routers forward to. */
  dns: string;
  domain: string;
  /** Prefix a network gets when its creator names none. */
  guest_prefix: string;
  /** Segment device and id of the zone's public network. */
  public_mtu: number;
}

export interface HostTable extends Row {
  zone_id: string;
  name: string;
  /** SHA-256 (hex) of the agent's token. */
  token_hash: string;
  /** Generation of the host document. */
  generation: number;
  last_seen_at: number | null;
  agent_version: string | null;
}

export interface AccountTable extends Row {
  name: string;
  role: 'admin' | 'user';
}

export interface ApiKeyTable extends Row {
  account_id: string;
  name: string;
  /** SHA-256 (hex) of the key. */
  key_hash: string;
}

export interface PublicIpRangeTable extends Row {
  zone_id: string;
  prefix: string;
  gateway: string;
  first: string;
  last: string;
}

export interface PublicIpTable extends Row {
  zone_id: string;
  range_id: string;
  /** Unique within the zone. */
  address: string;
  account_id: string;
  network_id: string;
  /** 1 for the address all guests of the network leave with. */
  source_nat: number;
  /** Router generation from which on the address is in the document, for `Applied`. */
  generation: number;
}

export interface NetworkOfferingTable extends Row {
  name: string;
  /** JSON array of service names. */
  services: string;
  egress_default: 'allow' | 'deny';
  persistent: number;
  state: 'enabled' | 'disabled';
  /** Most memory of a router's daemon, bytes; null: as the host has it. */
  router_memory: Generated<number | null>;
}

export interface NetworkTable extends Row {
  account_id: string;
  zone_id: string;
  offering_id: string;
  name: string;
  prefix: string;
  gateway: string;
  domain: string;
  mtu: number;
  state: 'allocated' | 'implementing' | 'implemented' | 'shutting-down' | 'destroying';
  /** Unique within the zone while implemented, null while not. */
  vni: number | null;
  /** MAC addresses belong to the network, not to a router: they survive every replacement. */
  gateway_mac: string;
  public_mac: string;
  /** When the last guest left, ms; the network is shut down some time after. */
  idle_since: number | null;
  /** Whether a standby router stands beside the active one. */
  redundant: Generated<0 | 1>;
}

export interface RouterTable extends Row {
  network_id: string;
  host_id: string;
  /** Generation of the router document. */
  generation: number;
  /** Which half of the source ports is its: a router and its successor never have the same (hand-over, docs/contracts.md). */
  parity: 0 | 1;
  /** Number among the network's routers, in the order they were made; it never changes (names of wires are made of it). */
  ordinal: Generated<number>;
  /** Exactly one router of a network is active: frames for the network's MACs go to it. */
  role: Generated<'active' | 'successor' | 'draining' | 'standby'>;
  /** Next in the chain, as its document says: where packets that it has no connection for go first. */
  older_id: Generated<string | null>;
  /** Next in the chain: where they go otherwise. With one the router takes no new connections. */
  newer_id: Generated<string | null>;
  /** A router further down the chain that may send to this one already (or still): a link its document only receives on. */
  heard_older_id: Generated<string | null>;
  /** The same further up. */
  heard_newer_id: Generated<string | null>;
  /** What it is to run; null: what its host came with. */
  bundle_id: Generated<string | null>;
  /** Most memory of its daemon's heap, bytes; null: as the host has it. Fixed when it is made. */
  memory: Generated<number | null>;
}

/** A router program, as it was uploaded. */
export interface RouterBundleTable extends Row {
  /** Version it says it is. */
  bundle_version: string;
  /** SHA-256 of the file, hexadecimal. */
  checksum: string;
  /** Which key signed it: SHA-256 of the public key, hexadecimal, 16 digits. */
  key_id: string;
  /** Bytes. */
  size: number;
  /** Exactly one bundle, once there is any, is what routers are to run. */
  is_default: Generated<0 | 1>;
}

/** The file of a bundle; in a table of its own, so that reading what there is about a bundle does not read it. */
export interface RouterBundleContentTable {
  bundle_id: string;
  content: Buffer;
}

export interface InstanceTable extends Row {
  account_id: string;
  zone_id: string;
  host_id: string;
  name: string;
  hostname: string;
  wanted_state: 'running' | 'stopped';
  /** Base64. */
  user_data: string;
  /** JSON array. */
  public_keys: string;
  /** JSON object. */
  meta_data: string;
  /** Encrypted with the controller's key; null when taken or never asked for. */
  password: string | null;
}

export interface PortTable extends Row {
  network_id: string;
  /** `guest` belongs to an instance; `router-guest` and `router-public` to a router. */
  role: 'guest' | 'router-guest' | 'router-public';
  instance_id: string | null;
  router_id: string | null;
  /** Unique among guests. The ports of a network's routers share the network's two MACs. */
  mac: string;
  /** Guest address, unique within the network; null on router ports, whose addresses follow from the network. */
  address: string | null;
}

export interface RuleRow extends Row {
  network_id: string;
  account_id: string;
  /** Router generation from which on the rule is in the document, for `Applied`. */
  generation: number;
}

export interface FirewallRuleTable extends RuleRow {
  public_ip_id: string;
  protocol: 'tcp' | 'udp' | 'icmp' | 'all';
  first_port: number | null;
  last_port: number | null;
  icmp_type: number | null;
  icmp_code: number | null;
  /** JSON array of prefixes. */
  sources: string;
  /** Id of the port forward it was made along with, and goes with. */
  opened_by: string | null;
}

export interface EgressRuleTable extends RuleRow {
  protocol: 'tcp' | 'udp' | 'icmp' | 'all';
  first_port: number | null;
  last_port: number | null;
  icmp_type: number | null;
  icmp_code: number | null;
  sources: string;
  destinations: string;
}

export interface PortForwardTable extends RuleRow {
  public_ip_id: string;
  port_id: string;
  protocol: 'tcp' | 'udp';
  first_public_port: number;
  last_public_port: number;
  first_guest_port: number;
  last_guest_port: number;
}

export interface StaticNatTable extends RuleRow {
  /** Unique: one guest an address. */
  public_ip_id: string;
  port_id: string;
}

export interface LoadBalancerTable extends RuleRow {
  name: string;
  public_ip_id: string;
  port: number;
  protocol: 'tcp' | 'http';
  algorithm: 'roundrobin' | 'leastconn' | 'source';
}

export interface LoadBalancerMemberTable {
  /** Id of the member within its load balancer's document item. */
  id: string;
  load_balancer_id: string;
  port_id: string;
  guest_port: number;
  draining: number;
}

/** Which item of a router document changed in which generation: what a delta is read from. */
export interface RouterChangeTable {
  router_id: string;
  generation: number;
  /** Name of the collection, or `dns` or `hostname`. */
  collection: string;
  item_id: string;
}

export interface RouterStatusTable {
  router_id: string;
  observed_generation: number;
  applied_generation: number;
  reported_at: number;
  /** JSON of RouterStatus. */
  status: string;
}

export interface HostStatusTable {
  host_id: string;
  observed_generation: number;
  reported_at: number;
  /** JSON of HostStatus. */
  status: string;
}

export interface OperationTable extends Row {
  account_id: string;
  /** `network.implement`, `instance.start`, `port-forward.create` ... */
  type: string;
  /** Id of the resource it is about. */
  resource: string;
  state: 'running' | 'succeeded' | 'failed';
  /** What it waits for: JSON array of {router|host, generation}, {machine, state} or {workflow}. */
  waits_for: string;
  /** JSON array of {time, message}. */
  steps: string;
  /** JSON of a Problem, or null. */
  problem: string | null;
  ended_at: number | null;
}

/** Work in several steps that must not be left half done: carried on after a crash, or taken back. */
export interface WorkflowTable extends Row {
  account_id: string;
  /** `router.replace` */
  type: string;
  /** What it works on: id of a network. */
  subject: string;
  /** Unique: while one workflow holds it no other of the same kind may begin. Null: not (or no more) needed. */
  claim: string | null;
  /** Name of the step it is at; while `aborting`, of the one that is being undone. */
  step: string;
  status: 'running' | 'succeeded' | 'failed' | 'aborting' | 'aborted';
  /** JSON, of the type's own shape. */
  state: string;
  /** JSON of a Problem: why it is aborting, or failed. */
  problem: string | null;
  updated_at: number;
  /** When to try again without news, ms; null: only news helps, or it has ended. */
  next_attempt_at: number | null;
  ended_at: number | null;
  operation_id: string;
}

/** Many routers brought to a bundle, one after the other and judged by what was measured through them. Kept for good. */
export interface UpgradeRunTable extends Row {
  account_id: string;
  name: string | null;
  status: 'running' | 'paused' | 'halted' | 'aborting' | 'aborted' | 'succeeded' | 'failed';
  /** JSON of RunOptions (store/upgrade-runs.ts). */
  options: string;
  /** What the routers are to run; null: there is no bundle yet, only machines are renewed. */
  bundle_id: string | null;
  workflow_id: string;
  /** JSON of a Problem: why it halted, or failed. */
  problem: string | null;
  ended_at: number | null;
}

/** One router of a run. Its ids lead nowhere once the router is replaced. */
export interface UpgradeRunRouterTable {
  run_id: string;
  router_id: string;
  /** Place in the order of the plan. */
  position: number;
  /** 0: a canary; from 1 on the batches. */
  wave: number;
  network_id: string;
  network_name: string;
  host_id: string;
  role: 'active' | 'standby';
  needs: 'nothing' | 'patch' | 'replace';
  because: string;
  state: RunRouterState;
  /** JSON of RunRouterDetail (store/upgrade-runs.ts). */
  detail: string;
}

export type RunRouterState =
  | 'waiting'
  | 'measuring'
  | 'working'
  | 'soaking'
  | 'rolling-back'
  | 'passed'
  | 'rolled-back'
  | 'failed'
  | 'aborted'
  | 'skipped'
  | 'nothing';

/** A machine that measures for a run: inside a network, or outside of all of them with a public address. */
export interface ProbeTable extends Row {
  run_id: string;
  host_id: string;
  /** The network it stands in; null outside. */
  network_id: string | null;
  /** The public range its address is of; null inside. */
  range_id: string | null;
  /** Where one inside sends to; null: nowhere. */
  outside_id: string | null;
  mac: string;
  address: string;
  /** Datagrams a second. */
  rate: number;
}

export interface EventTable extends Row {
  /** Order of arrival, for cursors. */
  sequence: Generated<number>;
  account_id: string | null;
  type: string;
  level: 'info' | 'warning' | 'error';
  resource: string;
  message: string;
}

export interface IdempotencyKeyTable {
  account_id: string;
  key: string;
  /** SHA-256 (hex) of method, path and body: the same key with another request is refused. */
  request_hash: string;
  /** JSON of {status, body, etag}, encrypted: an answer may carry a key or a password. */
  response: string;
  created_at: number;
}
