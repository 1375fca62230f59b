/** The controller: intent in, documents out. `startController` runs it; `buildApi` is its API alone. */
export { type ApiOptions, buildApi } from './api/build-api.ts';
export { bootstrap } from './auth/bootstrap.ts';
export { type Delivery, startDelivery } from './deliver/delivery.ts';
export { startNetworkGc } from './network-gc.ts';
export { type Controller, type ControllerOptions, startController } from './start-controller.ts';
export { openStore, type Store } from './store/store.ts';
