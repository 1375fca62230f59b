/** Links: what they are, and the requests that make, change, remove and list them. */
import {
  bridgeAttributes,
  bridgePortAttributes,
  type BridgeOptions,
  type BridgePortOptions,
} from './bridge-attributes.ts';
import { decodeLink, type Link } from './link-decode.ts';
import type {
  NamespaceReference,
  VethOptions,
  VxlanLinkOptions,
  TunLinkOptions,
  LinkOptions,
  LinkSelector,
  LinkChange,
  LinkFilter,
} from './link-options.ts';
import { invalidRequest } from './netlink-error.ts';
import type { DumpRequest, EncodeContext, MessageStep, NetlinkRequest, Step } from './request.ts';
import { AF_BRIDGE, AF_INET, AF_INET6, familyOf, ipBytes, macBytes } from './wire/address-bytes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST } from './wire/flags.ts';
import {
  IFF_UP,
  IFLA,
  IFLA_INFO,
  IFLA_VLAN,
  IFLA_VXLAN,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
  RTM_SETLINK,
  VETH_INFO_PEER,
} from './wire/link-constants.ts';
import { MessageWriter, NLA_F_NESTED } from './wire/message-writer.ts';

const checkName = (name: string): string => {
  const length = Buffer.byteLength(name);
  // oxlint-disable-next-line no-control-regex -- the kernel refuses white space; control characters serve nobody
  if (length < 1 || length > 15 || name === '.' || name === '..' || /[/:\s\u0000-\u001f]/.test(name)) {
    throw invalidRequest('encode link', `not an interface name: ${JSON.stringify(name)}`);
  }
  return name;
};

const resolve = (context: EncodeContext, link: string | number): number =>
  typeof link === 'number' ? link : context.linkIndex(link);

const linkMessage = (
  type: number,
  flags: number,
  options: { index?: number; up?: boolean; family?: number; flags?: number; change?: number },
): MessageWriter => {
  const up = options.up === undefined ? 0 : IFF_UP;
  return new MessageWriter(type, flags)
    .u8(options.family ?? 0)
    .u8(0)
    .u16(0)
    .u32(options.index ?? 0)
    .u32((options.up === true ? IFF_UP : 0) | (options.flags ?? 0))
    .u32(up | (options.change ?? 0));
};

const namespaceAttribute = (
  writer: MessageWriter,
  context: EncodeContext,
  netns: NamespaceReference,
): void => {
  if (typeof netns === 'number') writer.attributeU32(IFLA.NET_NS_PID, netns);
  else writer.attributeU32(IFLA.NET_NS_FD, context.namespaceDescriptor(netns));
};

interface SharedAttributes {
  readonly mac?: string | undefined;
  readonly mtu?: number | undefined;
  readonly master?: string | number | null | undefined;
  readonly netns?: NamespaceReference | undefined;
  readonly group?: number | undefined;
  readonly txQueueLength?: number | undefined;
}

const sharedAttributes = (writer: MessageWriter, context: EncodeContext, link: SharedAttributes): void => {
  if (link.mac !== undefined) writer.attribute(IFLA.ADDRESS, macBytes(link.mac));
  if (link.mtu !== undefined) writer.attributeU32(IFLA.MTU, link.mtu);
  if (link.txQueueLength !== undefined) writer.attributeU32(IFLA.TXQLEN, link.txQueueLength);
  if (link.master !== undefined) {
    writer.attributeU32(IFLA.MASTER, link.master === null ? 0 : resolve(context, link.master));
  }
  if (link.group !== undefined) writer.attributeU32(IFLA.GROUP, link.group);
  if (link.netns !== undefined) namespaceAttribute(writer, context, link.netns);
};

const vxlanAttributes = (
  writer: MessageWriter,
  context: EncodeContext,
  vxlan: VxlanLinkOptions['vxlan'],
): void => {
  writer.attributeU32(IFLA_VXLAN.ID, vxlan.id);
  if (vxlan.remote !== undefined) {
    const bytes = ipBytes(vxlan.remote);
    writer.attribute(familyOf(bytes) === AF_INET ? IFLA_VXLAN.GROUP : IFLA_VXLAN.GROUP6, bytes);
  }
  if (vxlan.local !== undefined) {
    const bytes = ipBytes(vxlan.local);
    writer.attribute(familyOf(bytes) === AF_INET ? IFLA_VXLAN.LOCAL : IFLA_VXLAN.LOCAL6, bytes);
  }
  if (vxlan.dev !== undefined) writer.attributeU32(IFLA_VXLAN.LINK, resolve(context, vxlan.dev));
  if (vxlan.ttl !== undefined) writer.attributeU8(IFLA_VXLAN.TTL, vxlan.ttl);
  if (vxlan.learning !== undefined) writer.attributeU8(IFLA_VXLAN.LEARNING, vxlan.learning);
  if (vxlan.proxy !== undefined) writer.attributeU8(IFLA_VXLAN.PROXY, vxlan.proxy);
  if (vxlan.ageing !== undefined) writer.attributeU32(IFLA_VXLAN.AGEING, vxlan.ageing);
  if (vxlan.udpChecksum !== undefined) writer.attributeU8(IFLA_VXLAN.UDP_CSUM, vxlan.udpChecksum);
  writer.attributeU16BE(IFLA_VXLAN.PORT, vxlan.port ?? 4789);
};

const peerAttributes = (writer: MessageWriter, context: EncodeContext, peer: VethOptions['peer']): void => {
  writer.nest(VETH_INFO_PEER, () => {
    // Not up yet: at this moment the peer has no peer itself, and the kernel would answer ENOTCONN.
    writer.u8(0).u8(0).u16(0).u32(0).u32(0).u32(0);
    writer.attributeString(IFLA.IFNAME, checkName(peer.name));
    sharedAttributes(writer, context, { ...peer, master: undefined });
  });
};

const kindAttributes = (
  writer: MessageWriter,
  context: EncodeContext,
  link: Exclude<LinkOptions, TunLinkOptions>,
): void => {
  writer.nest(IFLA.LINKINFO, () => {
    writer.attribute(IFLA_INFO.KIND, Buffer.from(link.kind));
    switch (link.kind) {
      case 'veth':
        writer.nest(IFLA_INFO.DATA, () => peerAttributes(writer, context, link.peer));
        break;
      case 'bridge':
        if (link.bridge !== undefined) {
          // A new bridge filters no VLANs: a kernel that has none refuses even to be told so.
          const { vlanFiltering, ...rest } = link.bridge;
          const options = vlanFiltering === true ? { ...rest, vlanFiltering } : rest;
          writer.nest(IFLA_INFO.DATA, () => bridgeAttributes(writer, options));
        }
        break;
      case 'vxlan':
        writer.nest(IFLA_INFO.DATA, () => vxlanAttributes(writer, context, link.vxlan));
        break;
      case 'vlan':
        writer.nest(IFLA_INFO.DATA, () => {
          if (link.vlan.protocol !== undefined) {
            writer.attributeU16BE(IFLA_VLAN.PROTOCOL, link.vlan.protocol === '802.1ad' ? 0x88a8 : 0x8100);
          }
          writer.attributeU16(IFLA_VLAN.ID, link.vlan.id);
        });
        break;
      case 'dummy':
      case 'ifb':
        break;
    }
  });
};

const addMessage =
  (link: Exclude<LinkOptions, TunLinkOptions>): MessageStep =>
  (context) => {
    const writer = linkMessage(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, {
      ...(link.index === undefined ? {} : { index: link.index }),
      ...(link.up === true ? { up: true } : {}),
    });
    if (link.kind === 'vlan') writer.attributeU32(IFLA.LINK, resolve(context, link.vlan.dev));
    writer.attributeString(IFLA.IFNAME, checkName(link.name));
    sharedAttributes(writer, context, link);
    kindAttributes(writer, context, link);
    return writer.finish();
  };

/** The header of a change: by index when known, by name otherwise. */
const setMessage = (change: LinkChange, up: boolean | undefined): MessageWriter => {
  if (change.name === undefined && change.index === undefined) {
    throw invalidRequest('change link', 'neither name nor index was given');
  }
  const flags = (change.promiscuous === true ? 0x100 : 0) | (change.arp === false ? 0x80 : 0);
  const mask = (change.promiscuous === undefined ? 0 : 0x100) | (change.arp === undefined ? 0 : 0x80);
  const writer = linkMessage(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, {
    ...(change.index === undefined ? {} : { index: change.index }),
    ...(up === undefined ? {} : { up }),
    flags,
    change: mask,
  });
  return writer;
};

const attributesMessage =
  (change: LinkChange, up: boolean | undefined): MessageStep =>
  (context) => {
    const writer = setMessage(change, up);
    // With an index, IFLA_IFNAME is the new name; without one it selects the link (rtnetlink(7)).
    if (change.newName !== undefined) {
      const index = change.index ?? context.linkIndex(change.name ?? '');
      const renamed = setMessage({ ...change, index }, up);
      renamed.attributeString(IFLA.IFNAME, checkName(change.newName));
      return finishChange(renamed, context, change);
    }
    if (change.index === undefined) writer.attributeString(IFLA.IFNAME, checkName(change.name ?? ''));
    return finishChange(writer, context, change);
  };

const finishChange = (writer: MessageWriter, context: EncodeContext, change: LinkChange): Buffer => {
  sharedAttributes(writer, context, change);
  if (change.alias !== undefined) writer.attribute(IFLA.IFALIAS, Buffer.from(change.alias));
  if (change.ipv6AddressGeneration !== undefined) {
    const mode = change.ipv6AddressGeneration === 'none' ? 1 : 0;
    writer.nest(IFLA.AF_SPEC, () => writer.nest(AF_INET6, () => writer.attributeU8(8, mode)));
  }
  return writer.finish();
};

const bridgeMessage =
  (change: LinkChange, bridge: BridgeOptions): MessageStep =>
  () => {
    const writer = linkMessage(
      RTM_NEWLINK,
      NLM_F_REQUEST | NLM_F_ACK,
      change.index === undefined ? {} : { index: change.index },
    );
    if (change.index === undefined) writer.attributeString(IFLA.IFNAME, checkName(change.name ?? ''));
    writer.nest(IFLA.LINKINFO, () => {
      writer.attribute(IFLA_INFO.KIND, Buffer.from('bridge'));
      writer.nest(IFLA_INFO.DATA, () => bridgeAttributes(writer, bridge));
    });
    return writer.finish();
  };

const bridgePortMessage =
  (change: LinkChange, port: BridgePortOptions): MessageStep =>
  (context) => {
    const index = change.index ?? context.linkIndex(change.name ?? '');
    const writer = linkMessage(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, { index, family: AF_BRIDGE });
    writer.nest(IFLA.PROTINFO | NLA_F_NESTED, () => bridgePortAttributes(writer, port));
    return writer.finish();
  };

const upMessage =
  (change: LinkChange, up: boolean): MessageStep =>
  () => {
    const writer = linkMessage(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, {
      ...(change.index === undefined ? {} : { index: change.index }),
      up,
    });
    if (change.index === undefined) {
      writer.attributeString(IFLA.IFNAME, checkName(change.newName ?? change.name ?? ''));
    }
    return writer.finish();
  };

const isDefined = (value: unknown): boolean => value !== undefined;

/** Bridge and port settings go in messages of their own, and a port comes up only after them: it never learns or floods by mistake. */
const changeSteps = (change: LinkChange): Step[] => {
  const steps: Step[] = [];
  const apart = change.bridgePort !== undefined || change.bridge !== undefined;
  const { name: _name, index: _index, up, bridge, bridgePort, ...attributes } = change;
  const plain = Object.values(attributes).some(isDefined);
  if (plain || !apart) steps.push(attributesMessage(change, apart && up === true ? undefined : up));
  if (bridge !== undefined) steps.push(bridgeMessage(change, bridge));
  if (bridgePort !== undefined) {
    const renamed =
      change.newName === undefined || change.index !== undefined
        ? change
        : { ...change, name: change.newName };
    steps.push(bridgePortMessage(renamed, bridgePort));
  }
  if (apart && up !== undefined && (up || !plain)) steps.push(upMessage(change, up));
  return steps;
};

const isTun = (link: LinkOptions): link is TunLinkOptions => link.kind === 'tun' || link.kind === 'tap';

/** What the kernel does not take with the link itself: sent where the link then is. */
const laterSteps = (change: LinkChange, netns: NamespaceReference | undefined): Step[] => {
  const { name: _name, up, ...rest } = change;
  if (up === undefined && !Object.values(rest).some(isDefined)) return [];
  const message = attributesMessage(change, up);
  if (netns === undefined) return [message];
  return [{ elsewhere: typeof netns === 'number' ? `/proc/${netns}/ns/net` : netns, message }];
};

const tunSteps = (link: TunLinkOptions): Step[] => {
  const { name, mac, mtu, master, group, txQueueLength, alias, netns } = link;
  const make: Step = {
    netns: typeof netns === 'number' ? `/proc/${netns}/ns/net` : netns,
    tun: {
      name: checkName(name),
      mode: link.kind,
      multiQueue: link.tun?.multiQueue ?? false,
      vnetHeader: link.tun?.vnetHeader ?? false,
      packetInformation: link.tun?.packetInformation ?? false,
      owner: link.tun?.owner,
      group: link.tun?.group,
    },
  };
  const up = link.up === true ? true : undefined;
  return [make, ...laterSteps({ name, mac, mtu, master, group, txQueueLength, alias, up }, netns)];
};

const addSteps = (link: LinkOptions): Step[] => {
  if (isTun(link)) return tunSteps(link);
  const { name, alias, master, netns, up } = link;
  // An index given as master counts in the namespace the link is made in, so does a name.
  const apart = netns !== undefined && master !== undefined;
  const steps: Step[] = [addMessage(apart ? { ...link, master: undefined, up: undefined } : link)];
  steps.push(
    ...laterSteps({ name, alias, ...(apart ? { master, ...(up === true ? { up } : {}) } : {}) }, netns),
  );
  if (link.kind === 'veth') {
    const { peer } = link;
    const change = {
      name: peer.name,
      alias: peer.alias,
      master: peer.master,
      up: peer.up === true ? true : undefined,
    };
    // A peer without a namespace of its own is made in that of the socket.
    steps.push(...laterSteps(change, peer.netns));
  }
  return steps;
};

/** What a selector or change names, in words. */
const selected = (selector: {
  name?: string | undefined;
  index?: number | undefined;
  group?: number | undefined;
}): string => {
  if (selector.name !== undefined) return selector.name;
  return selector.index === undefined ? `of group ${selector.group}` : `#${selector.index}`;
};

const selectorMessage =
  (type: number, selector: LinkSelector): MessageStep =>
  () => {
    const writer = linkMessage(
      type,
      NLM_F_REQUEST | NLM_F_ACK,
      selector.index === undefined ? {} : { index: selector.index },
    );
    if (selector.name !== undefined) writer.attributeString(IFLA.IFNAME, checkName(selector.name));
    if (selector.group !== undefined) {
      // Group 0 is where every link begins: removing it would remove them all.
      if (selector.group === 0)
        throw invalidRequest('remove links of group 0', 'group 0 is the default group of every link');
      writer.attributeU32(IFLA.GROUP, selector.group);
    }
    if (type === RTM_GETLINK) writer.attributeU32(IFLA.EXT_MASK, 8);
    return writer.finish();
  };

const names = (...candidates: (string | undefined)[]): string[] =>
  candidates.filter((name) => name !== undefined);

/** Requests on links. */
export const links = {
  /** Makes a link. `netlink-exists` when the name is taken. */
  add(link: LinkOptions): NetlinkRequest {
    return {
      operation: { name: 'link-add', options: link },
      description: `add link ${link.name} (${link.kind})`,
      touches: names(link.name, link.kind === 'veth' ? link.peer.name : undefined),
      steps: addSteps(link),
    };
  },

  /** Changes what is given and nothing else. `netlink-not-found` when there is no such link. */
  set(change: LinkChange): NetlinkRequest {
    return {
      operation: { name: 'link-set', options: change },
      description: `change link ${selected(change)}`,
      touches:
        change.newName === undefined && change.netns === undefined ? [] : names(change.name, change.newName),
      steps: changeSteps(change),
    };
  },

  /** Removes one link (and its veth peer), or all of a group at once, which for many links is far faster. */
  remove(selector: LinkSelector): NetlinkRequest {
    return {
      operation: { name: 'link-remove', options: selector },
      description: `remove link ${selected(selector)}`,
      touches: names(selector.name ?? '*'),
      steps: [selectorMessage(RTM_DELLINK, selector)],
    };
  },

  /** One link. `netlink-not-found` when there is none. */
  get(selector: Exclude<LinkSelector, { group: number }>): NetlinkRequest<Link> {
    return {
      operation: { name: 'link-get', options: selector },
      description: `read link ${selected(selector)}`,
      touches: [],
      steps: [selectorMessage(RTM_GETLINK, selector)],
      decode: decodeLink,
    };
  },

  /** All links of the namespace, or those of a kind or master. */
  dump(filter: LinkFilter = {}): DumpRequest<Link> {
    return {
      operation: { name: 'link-dump', options: filter },
      description: 'list links',
      encode: (context) => {
        const writer = linkMessage(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, {});
        if (filter.master !== undefined) writer.attributeU32(IFLA.MASTER, resolve(context, filter.master));
        if (filter.kind !== undefined) {
          const kind = filter.kind;
          writer.nest(IFLA.LINKINFO, () => writer.attribute(IFLA_INFO.KIND, Buffer.from(kind)));
        }
        // RTEXT_FILTER_SKIP_STATS
        writer.attributeU32(IFLA.EXT_MASK, filter.statistics === true ? 0 : 8);
        return writer.finish();
      },
      decode: decodeLink,
    };
  },
};
