// Bytes of the payload become volumes. Voxel (x, y, z) is number x + nx * (y + ny * z).

const STRIDE = (shape) => [1, shape[0], shape[0] * shape[1]];

/** Bytes of a base64 text. */
function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

async function unzip(text) {
  const packed = new Blob([bytesOf(text)]).stream();
  const plain = packed.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

/** Grey values of a picture whose tiles are slices; `pack.lay_tiles` laid them. */
async function untile(webp, [nx, ny, nz]) {
  const blob = new Blob([bytesOf(webp)], { type: "image/webp" });
  const picture = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const sheet = new OffscreenCanvas(picture.width, picture.height);
  const context = sheet.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, picture.width, picture.height).data;
  const across = Math.ceil(Math.sqrt(nz));
  const [wide, high] = [picture.width / across, picture.height / Math.ceil(nz / across)];
  const values = new Uint8Array(nx * ny * nz);
  for (let z = 0, to = 0; z < nz; z++) {
    const [left, top] = [(z % across) * wide, Math.floor(z / across) * high];
    for (let y = 0; y < ny; y++) {
      let from = 4 * ((top + y) * picture.width + left);
      for (let x = 0; x < nx; x++, from += 4) values[to++] = pixels[from];
    }
  }
  return values;
}

/** A volume of the payload: `values` of 8 bits, or `bits` of a mask. */
async function unpack(packed) {
  const shape = packed.shape;
  if (packed.webp) return { shape, values: await untile(packed.webp, shape) };
  if (packed.gzip) return { shape, values: await unzip(packed.gzip) };
  return { shape, bits: await unzip(packed.bits) };
}

/** The axes that run across and down a plane; both are shown from their high end to 0. */
const ACROSS = [1, 0, 0];
const DOWN = [2, 2, 1];

/** One plane of a volume as rows of columns, as it is seen: the patient's right on the left. */
function cutPlane(volume, axis, at) {
  const { shape, values, bits } = volume;
  const stride = STRIDE(shape);
  const [u, v] = [ACROSS[axis], DOWN[axis]];
  const [wide, high] = [shape[u], shape[v]];
  const plane = new Uint8Array(wide * high);
  const first = stride[axis] * indexAt(at, shape[axis]);
  for (let row = 0, to = 0; row < high; row++) {
    let from = first + stride[v] * (high - 1 - row) + stride[u] * (wide - 1);
    for (let column = 0; column < wide; column++, from -= stride[u]) {
      plane[to++] = values ? values[from] : (bits[from >> 3] >> (from & 7)) & 1;
    }
  }
  return { wide, high, plane };
}

/** The voxel at a share of a box's length. */
function indexAt(share, length) {
  return Math.min(length - 1, Math.max(0, Math.floor(share * length)));
}

/** Value of a volume at shares of the box's sides. */
function valueAt(volume, at) {
  const stride = STRIDE(volume.shape);
  return volume.values[
    volume.shape.reduce((sum, length, axis) => sum + stride[axis] * indexAt(at[axis], length), 0)
  ];
}
