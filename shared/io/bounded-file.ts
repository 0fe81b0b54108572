/**
 * Files that others write, read whole within a bound: a pipe has no end and nobody may ever write to it, a device has a
 * size of 0 and no end either, and a file may grow while it is read.
 */
import { constants, type FileHandle, open } from 'node:fs/promises';

/** Rejects when it is no regular file (symbolic links are followed), has more than `bytesMax`, or cannot be read. */
export async function readBoundedFile(path: string, bytesMax: number): Promise<Uint8Array> {
  // O_NONBLOCK: opening a pipe waits for a writer otherwise. It changes nothing about regular files.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    if (found.isDirectory()) throw new Error('it is a folder');
    if (!found.isFile()) throw new Error('it is no regular file (a pipe, socket or device)');
    if (found.size > bytesMax) throw new Error(`${found.size} bytes, at most ${bytesMax} are read`);
    return await readUpTo(file, found.size, bytesMax);
  } finally {
    await file.close();
  }
}

/** One byte more than there should be is asked for, so that the end is seen. */
async function readUpTo(file: FileHandle, size: number, bytesMax: number): Promise<Uint8Array> {
  let buffer = Buffer.alloc(size + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
    if (bytesRead === 0) return buffer.subarray(0, length);
    length += bytesRead;
    if (length > bytesMax) throw new Error(`more than ${bytesMax} bytes, which are the most that are read`);
    if (length === buffer.length)
      buffer = Buffer.concat([buffer, Buffer.alloc(Math.min(length, bytesMax + 1 - length))]);
  }
}
