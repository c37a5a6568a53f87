/*
 * What the tasks do, whoever runs them. The tree is T1 of the Unbalanced Tree Search benchmark: geometric, of fixed
 * shape, every node's number of children drawn from a digest of its parent's. S. Olivier, J. Huan, J. Liu, J. Prins, J.
 * Dinan, P. Sadayappan, C.-W. Tseng, UTS: An Unbalanced Tree Search Benchmark, LCPC 2006; the digest is SHA-1, FIPS
 * 180-4.
 */
#include "task_cells.h"

#include <math.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include <kernel/clock.h>

enum { DIGEST_WORDS = 5, BLOCK_WORDS = 16, SHA1_ROUNDS = 80 };

TASK_INLINE uint32_t rotate(uint32_t word, unsigned bits)
{
    return word << bits | word >> (32 - bits);
}

TASK_INLINE uint32_t schedule(uint32_t block[BLOCK_WORDS], unsigned round)
{
    if (round < BLOCK_WORDS)
        return block[round];
    uint32_t word = block[(round - 3) % BLOCK_WORDS] ^ block[(round - 8) % BLOCK_WORDS] ^
                    block[(round - 14) % BLOCK_WORDS] ^ block[round % BLOCK_WORDS];
    return block[round % BLOCK_WORDS] = rotate(word, 1);
}

TASK_INLINE uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
    if (round < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (round < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (round < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static const uint32_t start[DIGEST_WORDS] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

static void digest_plainly(uint32_t digest[DIGEST_WORDS], uint32_t block[BLOCK_WORDS])
{
    uint32_t a = start[0];
    uint32_t b = start[1];
    uint32_t c = start[2];
    uint32_t d = start[3];
    uint32_t e = start[4];
#pragma GCC unroll 80
    for (unsigned round = 0; round < SHA1_ROUNDS; round++) {
        uint32_t next = rotate(a, 5) + mix(round, b, c, d) + e + schedule(block, round);
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    digest[0] = start[0] + a;
    digest[1] = start[1] + b;
    digest[2] = start[2] + c;
    digest[3] = start[3] + d;
    digest[4] = start[4] + e;
}

#if defined(__x86_64__)

/* Five times four rounds of one kind, beginning with number `from` of the twenty. The first word of four is the
 * highest. */
#define DIGEST_ROUNDS(from, kind)                                                                                      \
    _Pragma("GCC unroll 5") for (unsigned i = (from); i < (from) + 5; i++)                                             \
    {                                                                                                                  \
        __m128i added = i == 0 ? _mm_add_epi32(e, words[0]) : _mm_sha1nexte_epu32(before, words[i % 4]);               \
        before = abcd;                                                                                                 \
        abcd = _mm_sha1rnds4_epu32(abcd, added, kind);                                                                 \
        words[i % 4] = _mm_sha1msg2_epu32(                                                                             \
            _mm_xor_si128(_mm_sha1msg1_epu32(words[i % 4], words[(i + 1) % 4]), words[(i + 2) % 4]),                   \
            words[(i + 3) % 4]);                                                                                       \
    }

/* The same with the processor's instructions for it, some three times as fast. */
static __attribute__((target("sha,sse4.1"))) void digest_by_processor(uint32_t digest[DIGEST_WORDS],
                                                                      const uint32_t block[BLOCK_WORDS])
{
    const __m128i first = _mm_set_epi32((int)start[0], (int)start[1], (int)start[2], (int)start[3]);
    const __m128i e = _mm_set_epi32((int)start[4], 0, 0, 0);
    __m128i abcd = first;
    __m128i before = first;
    __m128i words[4];
    for (unsigned i = 0; i < 4; i++)
        words[i] = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i_u *)(block + 4 * i)), 0x1b);
    DIGEST_ROUNDS(0, 0)
    DIGEST_ROUNDS(5, 1)
    DIGEST_ROUNDS(10, 2)
    DIGEST_ROUNDS(15, 3)
    _mm_storeu_si128((__m128i_u *)digest, _mm_shuffle_epi32(_mm_add_epi32(abcd, first), 0x1b));
    digest[4] = (uint32_t)_mm_extract_epi32(_mm_sha1nexte_epu32(before, e), 3);
}

static bool has_instructions(void)
{
    unsigned eax;
    unsigned ebx;
    unsigned ecx;
    unsigned edx;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & bit_SHA);
}

#else

static void digest_by_processor(uint32_t digest[DIGEST_WORDS], uint32_t block[BLOCK_WORDS])
{
    digest_plainly(digest, block);
}

static bool has_instructions(void)
{
    return false;
}

#endif

static bool by_processor;

/* Digests a message of one block, which it may overwrite. */
static void digest_block(uint32_t digest[DIGEST_WORDS], uint32_t block[BLOCK_WORDS])
{
    if (by_processor)
        digest_by_processor(digest, block);
    else
        digest_plainly(digest, block);
}

/* A message of `words` words, behind which a block has its end mark and length. */
static void end_block(uint32_t block[BLOCK_WORDS], unsigned words)
{
    block[words] = 0x80000000;
    for (unsigned i = words + 1; i < BLOCK_WORDS - 1; i++)
        block[i] = 0;
    block[BLOCK_WORDS - 1] = words * 32;
}

void task_tree_root(struct task_tree_node *root)
{
    uint32_t block[BLOCK_WORDS] = {0, 0, 0, 0, TASK_TREE_ROOT_SEED};
    end_block(block, DIGEST_WORDS);
    digest_block(root->digest, block);
    root->height = 0;
}

void task_tree_child(struct task_tree_node *child, const struct task_tree_node *parent, uint32_t index)
{
    uint32_t block[BLOCK_WORDS];
    for (unsigned i = 0; i < DIGEST_WORDS; i++)
        block[i] = parent->digest[i];
    block[DIGEST_WORDS] = index;
    end_block(block, DIGEST_WORDS + 1);
    digest_block(child->digest, block);
    child->height = parent->height + 1;
}

uint32_t task_tree_children(const struct task_tree_node *node, uint64_t depth)
{
    static const double range = 2147483648.0;
    static const double children_most = 100;
    if (node->height >= depth)
        return 0;
    double drawn = (double)(node->digest[DIGEST_WORDS - 1] & INT32_MAX) / range;
    double children = floor(log(1 - drawn) / log(1 - 1 / (1 + TASK_TREE_FAN)));
    return (uint32_t)fmin(children, children_most);
}

uint64_t task_tree_count(const struct task_tree_node *node, uint64_t depth)
{
    uint64_t count = 1;
    uint32_t children = task_tree_children(node, depth);
    for (uint32_t i = 0; i < children; i++) {
        struct task_tree_node child;
        task_tree_child(&child, node, i);
        count += task_tree_count(&child, depth);
    }
    return count;
}

static struct kn_tsc_clock counter;
static bool has_counter;

void task_work_open(void)
{
    static const uint64_t calibration_ns = 10000000;
    by_processor = has_instructions();
    has_counter = kn_tsc_clock_calibrate(&counter, calibration_ns) == 0;
}

uint64_t task_clock_ns(void)
{
    return has_counter ? kn_tsc_clock_ns(&counter) : kn_clock_monotonic_ns();
}

void task_spin(uint64_t duration_ns)
{
    uint64_t start_ns = task_clock_ns();
    while (task_clock_ns() - start_ns < duration_ns) {
    }
}
