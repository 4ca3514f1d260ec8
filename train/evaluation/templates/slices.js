// Slices of companded pictures (train/evaluation/viewer.py): decode one, paint one of its slices, look at it through a window.

// A picture as bytes, one a pixel.
async function decodePicture(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, image.width, image.height).data;
  const grey = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < grey.length; i++) grey[i] = rgba[4 * i];
  return {grey, width: image.width};
}

function paintSlice(sheet, slice, colour) {
  const canvas = document.createElement("canvas");
  canvas.width = sheet.width;
  canvas.height = sheet.height;
  const context = canvas.getContext("2d");
  const out = context.createImageData(sheet.width, sheet.height);
  const left = (slice % sheet.columns) * sheet.width, top = Math.floor(slice / sheet.columns) * sheet.height;
  for (let y = 0, o = 0; y < sheet.height; y++) {
    for (let x = 0; x < sheet.width; x++, o += 4) {
      colour(top + y, left + x, out.data, o);
      out.data[o + 3] = 255;
    }
  }
  context.putImageData(out, 0, 0);
  return canvas;
}

// hu: what each of the 256 bytes stands for; chosen: "level,width".
function windowedGrey(picture, hu, chosen) {
  const [level, width] = chosen.split(",").map(Number);
  const table = hu.map((value) => Math.max(0, Math.min(255, 255 * (value - level + width / 2) / width)));
  return (y, x, out, o) => { out[o] = out[o + 1] = out[o + 2] = table[picture.grey[y * picture.width + x]]; };
}
