/**
 * Decodes what the kernel sends: JSON content and one buffer of little-endian float32.
 *
 * A group of the buffer holds x[n], then low[n] (and high[n] if w is 2) of every key of
 * its stream, then the latest value of every key. NaN is unknown.
 */

import { readAdvice, type Advice } from "./advice";
import { isObject, type StreamSpec } from "./spec";

export interface Group {
  readonly stream: number;
  readonly size: number;
  readonly x: Float32Array;
  readonly low: readonly Float32Array[];
  readonly high: readonly Float32Array[];
  readonly last: Float32Array;
}

export interface DataMessage {
  readonly type: "delta" | "keyframe";
  readonly seq: number;
  readonly groups: readonly Group[];
  readonly state: unknown;
}

export interface RangeMessage {
  readonly type: "range";
  readonly request: number;
  readonly groups: readonly Group[];
}

export interface AckMessage {
  readonly type: "ack";
  readonly name: string;
  readonly ok: boolean;
  /** The proposal that the command was about; null for a command about the run. */
  readonly id: number | null;
}

export interface TipsMessage {
  readonly type: "tips";
  readonly advice: Advice;
}

export type Message = DataMessage | RangeMessage | AckMessage | TipsMessage;

/** A message that does not follow the wire format. */
export class WireError extends Error {}

type Buffer = ArrayBuffer | ArrayBufferView;

function floats(buffer: Buffer | undefined): Float32Array {
  if (buffer === undefined) return new Float32Array(0);
  // Copied, because a view may start at an address that a Float32Array does not accept.
  const bytes = ArrayBuffer.isView(buffer)
    ? buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength)
    : buffer.slice(0);
  if (bytes.byteLength % 4 !== 0) throw new WireError(`a buffer of ${bytes.byteLength} bytes is no float32 array`);
  return new Float32Array(bytes);
}

function count(value: unknown, name: string): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw new WireError(`${name} must be a count, not ${String(value)}`);
}

class Reader {
  private offset = 0;
  constructor(private readonly all: Float32Array) {}

  take(size: number): Float32Array {
    if (this.offset + size > this.all.length) throw new WireError("the buffer ends before its groups do");
    this.offset += size;
    return this.all.subarray(this.offset - size, this.offset);
  }

  end(): void {
    if (this.offset !== this.all.length) throw new WireError("the buffer holds more than its groups");
  }
}

function group(shape: unknown, reader: Reader, streams: readonly StreamSpec[]): Group {
  if (!Array.isArray(shape)) throw new WireError("a group must be [stream, n, w]");
  const [stream, size, width] = [count(shape[0], "stream"), count(shape[1], "n"), count(shape[2], "w")];
  const keys = streams[stream]?.keys;
  if (keys === undefined || (width !== 1 && width !== 2)) throw new WireError(`no such group: ${String(shape)}`);
  const x = reader.take(size);
  const low: Float32Array[] = [];
  const high: Float32Array[] = [];
  for (let k = 0; k < keys.length; k += 1) {
    const values = reader.take(size);
    low.push(values);
    high.push(width === 2 ? reader.take(size) : values);
  }
  return { stream, size, x, low, high, last: reader.take(keys.length) };
}

function groups(shapes: unknown, buffer: Buffer | undefined, streams: readonly StreamSpec[]): Group[] {
  if (!Array.isArray(shapes)) throw new WireError("groups must be a list");
  const reader = new Reader(floats(buffer));
  const decoded = shapes.map((shape) => group(shape, reader, streams));
  reader.end();
  return decoded;
}

/** The message, or a WireError that says what is wrong with it. */
export function decode(content: unknown, buffers: readonly Buffer[], streams: readonly StreamSpec[]): Message {
  if (!isObject(content)) throw new WireError("a message must be an object");
  const type = content["type"];
  switch (type) {
    case "delta":
    case "keyframe":
      return {
        type,
        seq: count(content["seq"], "seq"),
        groups: groups(content["groups"], buffers[0], streams),
        state: content["state"],
      };
    case "range":
      return {
        type,
        request: count(content["request"], "request"),
        groups: groups(content["groups"], buffers[0], streams),
      };
    case "ack":
      return { type, name: String(content["name"]), ok: content["ok"] === true, id: typeof content["id"] === "number" ? content["id"] : null };
    case "tips":
      return { type, advice: readAdvice(content) };
    default:
      throw new WireError(`unknown message ${String(type)}`);
  }
}
