// Which frames a network card takes: VIRTIO 1.2, section 5.1.6.5 (the control virtqueue sets it).

const VLAN_TAG = 0x8100;

/** A filter's settings, as a snapshot holds them. */
export interface ReceiveFilterState {
  readonly mac: Uint8Array;
  readonly promiscuous: boolean;
  readonly allMulticast: boolean;
  readonly allUnicast: boolean;
  readonly noMulticast: boolean;
  readonly noUnicast: boolean;
  readonly noBroadcast: boolean;
  readonly unicast: readonly number[] | undefined;
  readonly multicast: readonly number[] | undefined;
  readonly vlans: Uint8Array | undefined;
}

/** The filter of one card; it begins with letting everything through, for drivers that do not know of it. */
export class ReceiveFilter {
  mac: Uint8Array = new Uint8Array(6);
  promiscuous = true;
  allMulticast = false;
  allUnicast = false;
  noMulticast = false;
  noUnicast = false;
  noBroadcast = false;
  /** Tables of addresses, as numbers; without a table all pass. */
  #unicast: ReadonlySet<number> | undefined = new Set();
  #multicast: ReadonlySet<number> | undefined = new Set();
  /** A bit for each VLAN that passes; undefined while the driver does not filter them. */
  #vlans: Uint8Array | undefined;

  reset(mac: Uint8Array): void {
    this.mac = mac.slice();
    this.promiscuous = true;
    this.allMulticast = false;
    this.allUnicast = false;
    this.noMulticast = false;
    this.noUnicast = false;
    this.noBroadcast = false;
    this.#unicast = new Set();
    this.#multicast = new Set();
    this.#vlans = undefined;
  }

  /** Begins to filter VLANs: none passes until it is added. */
  filterVlans(): void {
    this.#vlans = new Uint8Array(4096 / 8);
  }

  setVlan(id: number, passes: boolean): void {
    if (this.#vlans === undefined) return;
    const bit = 1 << (id & 7);
    if (passes) this.#vlans[id >> 3]! |= bit;
    else this.#vlans[id >> 3]! &= ~bit;
  }

  /** Sets both tables, from addresses one behind the other; undefined lets all pass. */
  setTables(unicast: Uint8Array | undefined, multicast: Uint8Array | undefined): void {
    this.#unicast = table(unicast);
    this.#multicast = table(multicast);
  }

  /** Whether the card takes a frame. */
  accepts(frame: Uint8Array): boolean {
    if (this.promiscuous) return true;
    if (this.#vlans !== undefined && ((frame[12]! << 8) | frame[13]!) === VLAN_TAG) {
      const id = ((frame[14]! & 0x0f) << 8) | frame[15]!;
      if ((this.#vlans[id >> 3]! & (1 << (id & 7))) === 0) return false;
    }
    if ((frame[0]! & 1) === 0) {
      if (this.noUnicast) return false;
      if (this.allUnicast || this.#unicast === undefined || equal(frame, this.mac)) return true;
      return this.#unicast.has(addressAt(frame, 0));
    }
    if (isBroadcast(frame)) return !this.noBroadcast;
    if (this.noMulticast) return false;
    return this.allMulticast || this.#multicast === undefined || this.#multicast.has(addressAt(frame, 0));
  }

  save(): ReceiveFilterState {
    const { mac, promiscuous, allMulticast, allUnicast, noMulticast, noUnicast, noBroadcast } = this;
    return {
      mac: mac.slice(),
      promiscuous,
      allMulticast,
      allUnicast,
      noMulticast,
      noUnicast,
      noBroadcast,
      unicast: this.#unicast && [...this.#unicast],
      multicast: this.#multicast && [...this.#multicast],
      vlans: this.#vlans?.slice(),
    };
  }

  load(state: ReceiveFilterState): void {
    this.mac = state.mac.slice();
    this.promiscuous = state.promiscuous;
    this.allMulticast = state.allMulticast;
    this.allUnicast = state.allUnicast;
    this.noMulticast = state.noMulticast;
    this.noUnicast = state.noUnicast;
    this.noBroadcast = state.noBroadcast;
    this.#unicast = state.unicast && new Set(state.unicast);
    this.#multicast = state.multicast && new Set(state.multicast);
    this.#vlans = state.vlans?.slice();
  }
}

function table(addresses: Uint8Array | undefined): Set<number> | undefined {
  if (addresses === undefined) return undefined;
  const set = new Set<number>();
  for (let at = 0; at < addresses.length; at += 6) set.add(addressAt(addresses, at));
  return set;
}

function addressAt(bytes: Uint8Array, at: number): number {
  let address = 0;
  for (let i = 0; i < 6; i++) address = address * 256 + bytes[at + i]!;
  return address;
}

function equal(frame: Uint8Array, mac: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (frame[i] !== mac[i]) return false;
  return true;
}

function isBroadcast(frame: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (frame[i] !== 0xff) return false;
  return true;
}
