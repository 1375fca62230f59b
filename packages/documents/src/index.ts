export { BundleName } from './bundle-name.ts';
export type { AgentFrame, ControllerFrame, Measured, ProbeReading, RequestMethod } from './channel.ts';
export { checker } from './checker.ts';
export { Condition } from './condition.ts';
export { formatExamples, formats, isDomain, isHostname } from './formats.ts';
export {
  FdbEntry,
  HostDocument,
  Machine,
  MachineLink,
  Probe,
  Segment,
  SegmentPort,
  Standby,
} from './host/document.ts';
export { Failover, HostStatus, MachineStatus, StandbyStatus } from './host/status.ts';
export { verifyHostDocument } from './host/verify.ts';
export type { Problem } from './problem.ts';
export { applyRouterDocumentChange, changeCollection } from './router/apply-change.ts';
export { type CollectionChange, RouterDocumentChange } from './router/change.ts';
export { DhcpHost, DhcpSubnet, Dns } from './router/dhcp.ts';
export {
  type CollectionItem,
  type CollectionName,
  collectionNames,
  RouterDocument,
} from './router/document.ts';
export { EgressPolicy, EgressRule, FirewallRule, Protocol } from './router/firewall.ts';
export { Handover, HandoverLink } from './router/handover.ts';
export { Leg } from './router/leg.ts';
export { LoadBalancer, LoadBalancerMember } from './router/load-balancer.ts';
export { MetadataGuest } from './router/metadata.ts';
export { PortForward, SourceNat, StaticNat } from './router/nat.ts';
export { Route } from './router/route.ts';
export { Counter, HealthCheck, RouterEvent, RouterStatus } from './router/status.ts';
export { verifyRouterDocument, verifyRouterDocumentChange } from './router/verify.ts';
export * as scalars from './scalars.ts';
export { type SchemaError, schemaProblems, valueAt } from './schema-problems.ts';
