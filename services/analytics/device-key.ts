/**
 * 64 bits that stand for the name of a device, so that a query can look for some devices without reading every name.
 * Two of a million devices have the same once in 37 million tables. What it gives is in every file: it never changes.
 */
export function deviceKey(deviceId: string): bigint {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let index = 0; index < deviceId.length; index += 1) {
    const unit = deviceId.charCodeAt(index);
    high = Math.imul(high ^ unit, 0x9e3779b1);
    low = Math.imul(low ^ unit, 0x5f356495);
  }
  const mixed = [mix(high ^ (low >>> 16)), mix(low ^ (high >>> 15))] as const;
  return BigInt.asIntN(64, (BigInt(mixed[0]) << 32n) | BigInt(mixed[1]));
}

/** Spreads each bit over all 32 (the finish of MurmurHash3). */
function mix(bits: number): number {
  let mixed = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** Whether a text is a key in decimal digits. */
export function isDeviceKey(text: string): boolean {
  return /^-?[0-9]{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
}
