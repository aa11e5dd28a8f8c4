// The plane: a canvas that shows a part of it, sharp on every screen, and the marks that are made there.

export const WIDTH = 5.8; // of what is shown of the plane, with 0 in the middle; __init__.py reads both here
export const HEIGHT = 4.5;

/** A canvas that shows the plane, and the marks that are made on it. */
export class Plane {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
  }

  /** Makes the canvas as sharp as the screen, and empties it. Returns whether there is anything to draw on. */
  clear() {
    const width = this.canvas.clientWidth, ratio = Math.min(2, window.devicePixelRatio || 1);
    const pixels = Math.round(width * ratio);
    if (!pixels) return false;
    if (this.canvas.width !== pixels) {
      this.canvas.width = pixels;
      this.canvas.height = Math.round((pixels * HEIGHT) / WIDTH);
    }
    this.unit = pixels / WIDTH;
    this.dot = ratio; // a pixel of the page, as large on a telephone
    this.ink = getComputedStyle(this.canvas).color;
    this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    return true;
  }

  column(x) {
    return this.canvas.width / 2 + x * this.unit;
  }

  row(y) {
    return this.canvas.height / 2 - y * this.unit;
  }

  /** Where in the plane a pointer is. */
  under({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [((clientX - box.left) / box.width - 0.5) * WIDTH, (0.5 - (clientY - box.top) / box.height) * HEIGHT];
  }

  /** Strokes what `trace` draws, in a colour, a width in dots, an opacity and dashes. */
  stroke(trace, { colour = this.ink, width = 1, opacity = 1, dashes = [] } = {}) {
    const { pen } = this;
    Object.assign(pen, { strokeStyle: colour, lineWidth: width * this.dot, globalAlpha: opacity, lineJoin: "round" });
    pen.setLineDash(dashes.map((length) => length * this.dot));
    pen.beginPath();
    trace(pen);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  /** An open circle with a radius in dots. */
  circle(x, y, radius, style) {
    this.stroke((pen) => pen.arc(this.column(x), this.row(y), radius * this.dot, 0, 2 * Math.PI), style);
  }

  disc(x, y, radius, colour, opacity = 1) {
    const { pen } = this;
    Object.assign(pen, { fillStyle: colour, globalAlpha: opacity });
    pen.beginPath();
    pen.arc(this.column(x), this.row(y), radius * this.dot, 0, 2 * Math.PI);
    pen.fill();
    pen.globalAlpha = 1;
  }

  /** A leaning cross; `size` is that of an arm, in dots. */
  cross(x, y, size, style) {
    const column = this.column(x), row = this.row(y), arm = size * this.dot;
    this.stroke((pen) => {
      for (const lean of [-1, 1]) {
        pen.moveTo(column - arm, row - lean * arm);
        pen.lineTo(column + arm, row + lean * arm);
      }
    }, style);
  }

  /** The star of the book's figures. */
  star(x, y) {
    const { pen } = this, size = 11 * this.dot;
    Object.assign(pen, { fillStyle: "#CC79A7", strokeStyle: "#fff", lineWidth: this.dot });
    pen.beginPath();
    for (let k = 0; k < 10; k++) {
      const radius = k % 2 ? 0.4 * size : size, angle = (Math.PI * k) / 5;
      pen.lineTo(this.column(x) + radius * Math.sin(angle), this.row(y) - radius * Math.cos(angle));
    }
    pen.closePath();
    pen.fill();
    pen.stroke();
  }

  /** The way of the i-th point through the states. */
  way(states, i, style) {
    this.stroke((pen) => {
      for (const state of states) pen.lineTo(this.column(state[2 * i]), this.row(state[2 * i + 1]));
    }, style);
  }

  /** Small squares: many points, fast. */
  squares(points, indices, colour, side = 2.4) {
    const size = side * this.dot;
    this.pen.fillStyle = colour;
    for (const i of indices) {
      this.pen.fillRect(this.column(points[2 * i]) - size / 2, this.row(points[2 * i + 1]) - size / 2, size, size);
    }
  }

  /** Lines through points, `length` of them for each line. */
  lines(points, length) {
    this.stroke((pen) => {
      for (let i = 0; i < points.length / 2; i++) {
        pen[i % length ? "lineTo" : "moveTo"](this.column(points[2 * i]), this.row(points[2 * i + 1]));
      }
    }, { opacity: 0.5 });
  }

  /** An arrow at each point; its length tells the speed, up to a limit. */
  arrows(points, velocities) {
    this.stroke((pen) => {
      for (let i = 0; i < points.length; i += 2) {
        const [vx, vy] = [velocities[i], velocities[i + 1]], speed = Math.hypot(vx, vy);
        if (!(speed > 1e-3)) continue;
        const length = 0.34 * Math.tanh(speed / 1.5), dx = (vx / speed) * length, dy = (vy / speed) * length;
        const x = points[i] + dx / 2, y = points[i + 1] + dy / 2;
        pen.moveTo(this.column(x - dx), this.row(y - dy));
        pen.lineTo(this.column(x), this.row(y));
        for (const side of [-0.6, 0.6]) {
          pen.moveTo(this.column(x), this.row(y));
          pen.lineTo(this.column(x - 0.35 * (dx - side * dy)), this.row(y - 0.35 * (dy + side * dx)));
        }
      }
    }, { opacity: 0.6 });
  }

  /** A small picture, drawn large. */
  picture(image) {
    this.pen.globalAlpha = 0.7;
    this.pen.drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
    this.pen.globalAlpha = 1;
  }
}
