/** An outside, a router and a guest in a row, each a namespace of its own: the way every packet of a bench takes. */
import { GATEWAY, GUEST_ADDRESS, MACS, OUTSIDE_ADDRESS, publicAddresses } from './documents.ts';
import { Namespace } from './namespace.ts';

/** outside eth0 - public0 router guest0 - eth0 guest. The router forwards nothing yet. */
export class Path {
  readonly outside: Namespace;
  readonly router: Namespace;
  readonly guest: Namespace;

  constructor(name: string) {
    this.outside = new Namespace(`${name}o`);
    this.router = new Namespace(`${name}r`);
    this.guest = new Namespace(`${name}g`);
    const router = this.router.name;
    this.outside.ip([
      `link add eth0 type veth peer name public0 address ${MACS.public0} netns ${router}`,
      `address add ${OUTSIDE_ADDRESS}/24 dev eth0`,
      'link set eth0 up',
    ]);
    this.guest.ip([
      `link add eth0 type veth peer name guest0 address ${MACS.guest0} netns ${router}`,
      `address add ${GUEST_ADDRESS}/24 dev eth0`,
      'link set eth0 up',
      `route add default via ${GATEWAY}`,
    ]);
  }

  /** Makes the router forward without the daemon, for what it is held against; `rules` port forwards have addresses. */
  forwardByHand(rules: number): void {
    this.router.ip([
      'link set guest0 up',
      'link set public0 up',
      `address add ${GATEWAY}/24 dev guest0`,
      ...publicAddresses(rules).map((address) => `address add ${address}/24 dev public0`),
    ]);
    this.router.run(['/usr/sbin/sysctl', '-qw', 'net.ipv4.ip_forward=1']);
  }

  remove(): void {
    for (const namespace of [this.outside, this.router, this.guest]) namespace.remove();
  }
}
