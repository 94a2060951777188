import { ScalarType } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { fault, type Read } from "./fault.ts";

const readString: Read = (value, reading) => {
  if (typeof value !== "string") return fault(reading, "must be a string");
  return value.isWellFormed() ? value : fault(reading, "must be well-formed Unicode");
};

const readBool: Read = (value, reading) =>
  typeof value === "boolean" ? value : fault(reading, "must be true or false");

const readBytes: Read = (value, reading) => {
  if (typeof value === "string") {
    try {
      return base64Decode(value);
    } catch {
      // Told below, as for any other value.
    }
  }
  return fault(reading, "must be a base64 string");
};

// "12", "-0.5", "1e3"
const DECIMAL = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

const readDouble: Read = (value, reading) => {
  const number = typeof value === "string" && DECIMAL.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : fault(reading, "must be a number");
};

const MAX_FLOAT = 3.4028234663852886e38;

const readFloat: Read = (value, reading) => {
  const number = readDouble(value, reading);
  return typeof number !== "number" || Math.abs(number) <= MAX_FLOAT ? number : fault(reading, "must be a number");
};

// "12", "-7"
const WHOLE = /^-?\d{1,20}$/;

function readWhole(min: number, max: number): Read {
  return (value, reading) => {
    const number = typeof value === "string" && WHOLE.test(value) ? Number(value) : value;
    if (typeof number === "number" && Number.isInteger(number) && number >= min && number <= max) return number + 0;
    return fault(reading, min === 0 ? "must be a whole number from 0" : "must be a whole number");
  };
}

/** 64-bit integers come as a number that is exact, or as a string. */
function readLong(min: bigint, max: bigint, asString: boolean): Read {
  const must = min === 0n ? "must be a whole number from 0" : "must be a whole number";
  return (value, reading) => {
    let long: bigint | undefined;
    if (typeof value === "number" && Number.isInteger(value)) {
      if (!Number.isSafeInteger(value)) return fault(reading, "is too large for a JSON number; send it as a string");
      long = BigInt(value);
    } else if (typeof value === "string" && WHOLE.test(value)) long = BigInt(value);
    if (long === undefined || long < min || long > max) return fault(reading, must);
    return asString ? String(long) : long;
  };
}

const MIN_INT64 = -(2n ** 63n);

/** How a scalar is read from JSON. `longAsString`: the message keeps 64-bit integers as strings. */
export function scalarReader(type: ScalarType, longAsString: boolean): Read {
  switch (type) {
    case ScalarType.STRING:
      return readString;
    case ScalarType.BOOL:
      return readBool;
    case ScalarType.BYTES:
      return readBytes;
    case ScalarType.DOUBLE:
      return readDouble;
    case ScalarType.FLOAT:
      return readFloat;
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return readWhole(0, 2 ** 32 - 1);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return readLong(0n, 2n ** 64n - 1n, longAsString);
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return readLong(MIN_INT64, 2n ** 63n - 1n, longAsString);
    default:
      return readWhole(-(2 ** 31), 2 ** 31 - 1);
  }
}

/** Whether a scalar is a 64-bit integer. */
export function isLong(type: ScalarType): boolean {
  return [ScalarType.INT64, ScalarType.UINT64, ScalarType.SINT64, ScalarType.FIXED64, ScalarType.SFIXED64].includes(
    type,
  );
}
