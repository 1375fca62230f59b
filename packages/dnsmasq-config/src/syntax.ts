/** The words dnsmasq's line formats are made of. What is not one of these never gets into a line. */

// A hyphen first would be read as an option by some tools, and 15 octets is IFNAMSIZ - 1.
const INTERFACE = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/;
const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
// Underscores lead service names (RFC 8552).
const NAME_LABEL = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;
const TAG = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
const PATH = /^\/[A-Za-z0-9_.@:+/-]{1,1023}$/;
const USER = /^[a-z_][a-z0-9_-]{0,31}$/;
const OPTION_TEXT = /^[A-Za-z0-9_.@:+/=?&~%*()[\]{}<>|!$;^-]{1,255}$/;
const NUMERIC_OR_HEX = /^(?:[0-9.]+[bsi]?|0[xX][0-9a-fA-F]+|[0-9a-fA-F*]{1,2}(?::[0-9a-fA-F*]{1,2})+)$/;
const FACILITY = /^(?:-|[A-Z][A-Z0-9]{1,15})$/;

export const isInterfaceName = (text: string): boolean =>
  INTERFACE.test(text) && text !== '.' && text !== '..';

/** One label of a host name (RFC 1123). All digits would be read as a lease time, and an address must not be a name. */
export const isHostLabel = (text: string): boolean =>
  LABEL.test(text) && !/^[0-9]+[a-z]?$/i.test(text) && !RESERVED.has(text);

// Words dhcp-host takes for something else than a name.
const RESERVED = new Set(['infinite', 'ignore', 'deprecated']);

/** A domain name without the final dot, 253 octets at the most; its last label is not a number (it would be an address). */
export const isDomainName = (text: string): boolean => {
  const labels = text.split('.');
  return (
    text.length <= 253 &&
    labels.every((label) => NAME_LABEL.test(label)) &&
    !/^[0-9]+$/.test(labels.at(-1) ?? '')
  );
};

export const isTag = (text: string): boolean => TAG.test(text);

/** An absolute path of harmless characters, without `..`. */
export const isPath = (text: string): boolean => PATH.test(text) && !text.split('/').includes('..');

export const isUserName = (text: string): boolean => USER.test(text);

export const isFacility = (text: string): boolean => FACILITY.test(text) || isPath(text);

/** Text dnsmasq cannot take for a number, an address, hexadecimal, a bracketed address or a network. */
export const isOptionText = (text: string): boolean =>
  OPTION_TEXT.test(text) && !NUMERIC_OR_HEX.test(text) && !/^[0-9./]+$/.test(text) && !text.startsWith('[');

/** Printable ASCII without what ends, splits or quotes a field of a line. */
export const isPlainText = (text: string): boolean =>
  /^[ !$-+\--[\]-~]{1,255}$/.test(text) && text.trim() === text;
