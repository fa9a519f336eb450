// K3, double precision: a matrix product of 192 x 192 (fused multiply-add) and five bodies under gravity (division, square
// root). The sum is exact: every rounding must be right.

#include "kernel.h"

#define M 192

static double a[M][M], b[M][M], c[M][M];

// Position, velocity, mass.
static double bodies[5][7] = {
  {0, 0, 0, 0, 0, 0, 39.47841760435743},
  {4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01, 0.606326392995832, 2.81198684491626,
   -0.02521836165988763, 0.03769367487038949},
  {8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01, -1.01077434617879, 1.82566237123041,
   0.00841576137658415, 0.01128632613196877},
  {1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01, 1.08279100644154, 0.86871301816961,
   -0.010832637401363636, 0.0017237240570597112},
  {1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01, 0.979090732243898, 0.594698998647676,
   -0.034755955550407811, 0.0020336868699246304},
};

NOINLINE static void move(int steps) {
  double dt = 0.01;
  for (int s = 0; s < steps; s++) {
    for (int i = 0; i < 5; i++)
      for (int j = i + 1; j < 5; j++) {
        double *p = bodies[i], *q = bodies[j];
        double dx = p[0] - q[0], dy = p[1] - q[1], dz = p[2] - q[2];
        double d2 = dx * dx + dy * dy + dz * dz;
        double mag = dt / (d2 * __builtin_sqrt(d2));
        double mj = q[6] * mag, mi = p[6] * mag;
        p[3] -= dx * mj;
        p[4] -= dy * mj;
        p[5] -= dz * mj;
        q[3] += dx * mi;
        q[4] += dy * mi;
        q[5] += dz * mi;
      }
    for (int i = 0; i < 5; i++) {
      bodies[i][0] += dt * bodies[i][3];
      bodies[i][1] += dt * bodies[i][4];
      bodies[i][2] += dt * bodies[i][5];
    }
  }
}

NOINLINE static void multiply(void) {
  for (int i = 0; i < M; i++)
    for (int j = 0; j < M; j++) {
      double s = 0;
      for (int k = 0; k < M; k++) s += a[i][k] * b[k][j];
      c[i][j] = s;
    }
}

NOINLINE u64 run(void) {
  for (int i = 0; i < M; i++)
    for (int j = 0; j < M; j++) {
      a[i][j] = (double)(rnd() & 0xffff) * (1.0 / 65536);
      b[i][j] = (double)(rnd() & 0xffff) * (1.0 / 65536);
    }
  for (int round = 0; round < 8; round++) {
    multiply();
    a[round][round] = c[round][round] * 0.01;
  }
  move(500000);
  double x = c[3][5] + bodies[0][0] * 1e3;
  for (int i = 0; i < M; i++) x += c[i][i];
  union {
    double d;
    u64 u;
  } bits = {.d = x};
  return bits.u;
}
