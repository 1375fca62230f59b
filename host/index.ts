/** The host agent for those who run it in their own process, and the names by which to find what it made. */
export { HostAgent, type HostAgentOptions, type Log } from './agent.ts';
export { type CleanedUp, cleanUp, type CleanUpOptions } from './clean-up.ts';
export { type HostIdentity, HostFileError, readHostFile } from './document/host-file.ts';
export type { MachineDriver, MachineListener, MachineReport, PortPlace } from './machines/machine.ts';
export type { RouterProgram } from './machines/namespace/router-process.ts';
export {
  deviceAlias,
  fabricNamespace,
  machineNamespace,
  namespacePath,
  parseDeviceAlias,
} from './names.ts';
export { statePathProblem } from './state-path.ts';
export { version } from './version.ts';
