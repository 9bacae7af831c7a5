/* Write lines of 100 bytes, one write(2) each, and report how that went.
 *
 *     writer REPORT LINES [BYTES_A_WRITE [PAUSE_US]]
 *
 * REPORT gets one JSON object: the wall time, and how long writes took, as the program that writes sees it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { BUCKETS = 100000 }; /* of 1 microsecond; the last one is for all that took longer */

static long long now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void write_all(const char *data, size_t size) {
    while (size) {
        ssize_t done = write(STDOUT_FILENO, data, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            exit(1);
        data += done;
        size -= done;
    }
}

static double percentile_ms(const long *buckets, long writes, double part) {
    long seen = 0;
    for (int us = 0; us < BUCKETS; us++)
        if ((seen += buckets[us]) >= part * writes)
            return us / 1e3;
    return BUCKETS / 1e3;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    long lines = atol(argv[2]);
    size_t size = argc > 3 ? (size_t)atol(argv[3]) : 100;
    long pause_us = argc > 4 ? atol(argv[4]) : 0;
    static long buckets[BUCKETS];
    char *line = malloc(size + 1);
    long long slowest_ns = 0, start_ns = now_ns();
    for (long n = 0; n < lines; n++) {
        memset(line, 'x', size - 1);
        line[snprintf(line, size, "%015ld ", n)] = 'x';
        line[size - 1] = '\n';
        long long before_ns = now_ns();
        write_all(line, size);
        long long took_ns = now_ns() - before_ns;
        if (took_ns > slowest_ns)
            slowest_ns = took_ns;
        long long due_ns = start_ns + (n + 1) * pause_us * 1000LL, left_ns = due_ns - now_ns();
        if (pause_us && left_ns > 0) {
            struct timespec pause = {left_ns / 1000000000LL, left_ns % 1000000000LL};
            nanosleep(&pause, NULL);
        }
        buckets[took_ns / 1000 < BUCKETS ? took_ns / 1000 : BUCKETS - 1]++;
    }
    FILE *report = fopen(argv[1], "w");
    if (!report)
        return 1;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu_s = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    fprintf(report, "{\"cpu_s\": %.6f, \"seconds\": %.6f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"slowest_ms\": %.3f}\n",
            cpu_s, (now_ns() - start_ns) / 1e9, percentile_ms(buckets, lines, 0.99), percentile_ms(buckets, lines, 0.999),
            slowest_ns / 1e6);
    return fclose(report) != 0;
}
