// K0, integer mix: linked lists (pointers, calls through pointers), matrices (multiplication), a state machine over text
// (unpredictable branches), CRC-16 (shifts and bits). In small parts what control code does.

#include "kernel.h"

typedef struct node {
  struct node *next;
  short data, idx;
} node;

static node nodes[512];
static short A[40][40], B[40][40];
static int C[40][40];
static u8 text[2048];

NOINLINE static u32 crc16(u32 d, u32 crc) {
  for (int i = 0; i < 16; i++) {
    u32 x = (d ^ crc) & 1;
    d >>= 1;
    crc >>= 1;
    if (x) crc ^= 0xA001;
  }
  return crc;
}

NOINLINE static node *reverse(node *list) {
  node *previous = 0;
  while (list) {
    node *next = list->next;
    list->next = previous;
    previous = list;
    list = next;
  }
  return previous;
}

NOINLINE static node *find(node *list, int value) {
  while (list && list->data != value) list = list->next;
  return list;
}

NOINLINE static int by_data(node *a, node *b) { return a->data - b->data; }
NOINLINE static int by_index(node *a, node *b) { return a->idx - b->idx; }

// Merge sort of a list, bottom up.
NOINLINE static node *sort(node *list, int (*compare)(node *, node *)) {
  int width = 1;
  for (;;) {
    node *p = list, *tail = 0;
    int merges = 0;
    list = 0;
    while (p) {
      merges++;
      node *q = p;
      int p_left = 0;
      for (int i = 0; i < width; i++) {
        p_left++;
        q = q->next;
        if (!q) break;
      }
      int q_left = width;
      while (p_left > 0 || (q_left > 0 && q)) {
        node *e;
        if (p_left == 0) {
          e = q, q = q->next, q_left--;
        } else if (q_left == 0 || !q) {
          e = p, p = p->next, p_left--;
        } else if (compare(p, q) <= 0) {
          e = p, p = p->next, p_left--;
        } else {
          e = q, q = q->next, q_left--;
        }
        if (tail) tail->next = e;
        else list = e;
        tail = e;
      }
      p = q;
    }
    tail->next = 0;
    if (merges <= 1) return list;
    width *= 2;
  }
}

NOINLINE static u32 matrix(int n) {
  u32 s = 0;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      int a = 0;
      for (int k = 0; k < n; k++) a += A[i][k] * B[k][j];
      C[i][j] = a;
      s += a;
    }
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      int a = 0;
      for (int k = 0; k < n; k++) {
        int t = A[i][k] * B[k][j];
        a += ((t >> 2) & 15) * ((t >> 5) & 127);
      }
      C[i][j] = a;
      s ^= a;
    }
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) A[i][j] += (short)(s & 3);
  return s;
}

static int is_digit(u8 c) { return c >= '0' && c <= '9'; }

// Recognises numbers, separated by commas; counts how often it is in each state.
NOINLINE static u32 scan(u8 *p, u32 *count) {
  enum { START, OTHER, SIGN, EXPONENT, INTEGER, FRACTION, EXPONENT_SIGN, SCIENTIFIC } state = START;
  u32 trace = 0;
  for (; *p; p++) {
    u8 c = *p;
    count[state]++;
    switch (state) {
    case START:
      if (is_digit(c)) state = INTEGER;
      else if (c == '+' || c == '-') state = SIGN;
      else if (c == '.') state = FRACTION;
      else if (c == ',') state = START;
      else state = OTHER;
      break;
    case OTHER:
      if (c == ',') state = START;
      break;
    case SIGN:
      if (is_digit(c)) state = INTEGER;
      else if (c == '.') state = FRACTION;
      else state = OTHER;
      break;
    case EXPONENT:
      if (c == '+' || c == '-') state = EXPONENT_SIGN;
      else state = OTHER;
      break;
    case INTEGER:
      if (c == '.') state = FRACTION;
      else if (c == ',') state = START;
      else if (!is_digit(c)) state = OTHER;
      break;
    case FRACTION:
      if (c == 'e' || c == 'E') state = EXPONENT;
      else if (c == ',') state = START;
      else if (!is_digit(c)) state = OTHER;
      break;
    case EXPONENT_SIGN:
      if (is_digit(c)) state = SCIENTIFIC;
      else state = OTHER;
      break;
    case SCIENTIFIC:
      if (c == ',') state = START;
      else if (!is_digit(c)) state = OTHER;
      break;
    }
    trace += state;
  }
  return trace;
}

NOINLINE u64 run(void) {
  for (int i = 0; i < 512; i++) {
    nodes[i].next = i < 511 ? &nodes[i + 1] : 0;
    nodes[i].data = rnd() & 0x7fff;
    nodes[i].idx = i;
  }
  for (int i = 0; i < 40; i++)
    for (int j = 0; j < 40; j++) {
      A[i][j] = rnd() % 100;
      B[i][j] = rnd() % 100;
    }
  static const char *alphabet = "0123456789+-.,eE,.,,5T3a";
  for (int i = 0; i < 2047; i++) text[i] = alphabet[rnd() % 24];

  node *list = nodes;
  u32 crc = 0;
  u32 count[8] = {0};
  for (int round = 0; round < 600; round++) {
    for (int k = 0; k < 8; k++) {
      node *found = find(list, (round * 77 + k) & 0x7fff);
      if (found) crc = crc16(found->idx, crc);
      list = reverse(list);
    }
    list = sort(list, by_data);
    crc = crc16(list->data, crc);
    list = sort(list, by_index);
    crc = crc16(matrix(40), crc);
    crc = crc16(scan(text, count), crc);
    for (int k = 0; k < 2000; k++) crc = crc16(k ^ count[k & 7], crc);
  }
  return crc | ((u64)count[3] << 32);
}
