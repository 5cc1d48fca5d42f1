/* A fax terminal over T.38: spandsp's T.30 and T.38, with UDPTL (T.38 clause 9) written here. It speaks no SIP.

   t38terminal send|receive ADDRESS:PORT FILE.tif [ecm] [no-ecm] [speed N] [noise] [remote ADDRESS:PORT]
   t38terminal rows FILE.tif

   The first form is one fax. It prints `ready` once its port is its own, starts when the remote address is known, by
   the argument or by a line `remote ADDRESS:PORT` on the standard input, and prints one line of JSON when it is over;
   the end of the standard input is the end of the call. `speed` is how many times faster than a telephone line its
   clock runs, `noise` adds datagrams that are no UDPTL to those sent. The second form prints a JSON line of [width,
   length] for each page, and then the rows themselves, one bit a pixel, 1 black, each row from a new byte. */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <tiffio.h>
#include <spandsp.h>

enum { TICK_SAMPLES = 160, SAMPLES_A_SECOND = 8000, REDUNDANCY = 3, IFP_MAX = 1024, DATAGRAM_MAX = 65536, RING = 8 };

typedef struct { int length; uint8_t bytes[IFP_MAX]; } ifp_t;

static int udp = -1;
static struct sockaddr_in remote;
static bool remote_known, adds_noise;
static ifp_t sent_ifp[RING];
static uint16_t sent_number, expected_number;
static bool over;
static double last_datagram, last_sent, silence;
static int completion = -1;
/* What the result tells: datagrams of UDPTL sent, of noise sent, received from the far end, those of them that are no
   UDPTL, those from anybody else; IFPs that came only by redundancy, and that never came; seconds in which nothing was
   sent, at most. */
static long sent, noisy, received, malformed, strangers, recovered, lost;

static void fail(const char *what) {
    fprintf(stderr, "t38terminal: %s: %s\n", what, errno ? strerror(errno) : "no");
    exit(2);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec * 1e-9;
}

static struct sockaddr_in address_of(const char *text) {
    struct sockaddr_in found = {.sin_family = AF_INET};
    char host[64];
    int port;
    if (sscanf(text, "%63[^:]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &found.sin_addr) != 1) {
        fail(text);
    }
    found.sin_port = htons((uint16_t) port);
    return found;
}

/* --- UDPTL: number, primary IFP, and the IFPs before it once more, the newest first --------------------------- */

static size_t put_length(uint8_t *to, int length) {
    if (length < 0x80) {
        to[0] = (uint8_t) length;
        return 1;
    }
    to[0] = (uint8_t) (0x80 | length >> 8);
    to[1] = (uint8_t) length;
    return 2;
}

static size_t put_ifp(uint8_t *to, const ifp_t *ifp) {
    size_t size = put_length(to, ifp->length);
    memcpy(to + size, ifp->bytes, (size_t) ifp->length);
    return size + (size_t) ifp->length;
}

/* The octets of an open type at `*at`, or NULL where they do not fit. */
static const uint8_t *get_ifp(const uint8_t *data, size_t size, size_t *at, int *length) {
    if (*at >= size) { return NULL; }
    int count = data[(*at)++];
    if (count & 0x80) {
        if (count & 0x40 || *at >= size) { return NULL; }
        count = (count & 0x3F) << 8 | data[(*at)++];
    }
    if (size - *at < (size_t) count) { return NULL; }
    const uint8_t *found = data + *at;
    *at += (size_t) count;
    *length = count;
    return found;
}

static void send_noise(const uint8_t *real, size_t size) {
    static uint8_t big[65000];
    static unsigned turn;
    big[0] = big[1] = big[2] = 0xFF;
    const uint8_t short_one[] = {0xFF, 0xFF, 0x7F, 0x00};
    switch (turn++ % 4) {
    case 0: sendto(udp, big, sizeof big, 0, (struct sockaddr *) &remote, sizeof remote); break;
    case 1: sendto(udp, short_one, sizeof short_one, 0, (struct sockaddr *) &remote, sizeof remote); break;
    case 2: sendto(udp, real, size - 1, 0, (struct sockaddr *) &remote, sizeof remote); break;
    case 3: sendto(udp, real, 0, 0, (struct sockaddr *) &remote, sizeof remote); break;
    }
    noisy++;
}

static int send_ifp(t38_core_state_t *core, void *user, const uint8_t *bytes, int length, int count) {
    (void) core, (void) user;
    uint8_t packet[(REDUNDANCY + 1) * (IFP_MAX + 2) + 8];
    if (length > IFP_MAX) { return -1; }
    ifp_t *own = &sent_ifp[sent_number % RING];
    own->length = length;
    memcpy(own->bytes, bytes, (size_t) length);
    size_t size = 0;
    packet[size++] = (uint8_t) (sent_number >> 8);
    packet[size++] = (uint8_t) sent_number;
    size += put_ifp(packet + size, own);
    int before = sent_number < REDUNDANCY ? sent_number : REDUNDANCY;
    packet[size++] = 0; /* error recovery by secondary IFPs */
    packet[size++] = (uint8_t) before;
    for (int back = 1; back <= before; back++) {
        size += put_ifp(packet + size, &sent_ifp[(sent_number - back) % RING]);
    }
    sent_number++;
    for (int time = 0; time < count; time++) {
        sendto(udp, packet, size, 0, (struct sockaddr *) &remote, sizeof remote);
        sent++;
    }
    last_datagram = now();
    if (last_sent != 0 && last_datagram - last_sent > silence) { silence = last_datagram - last_sent; }
    last_sent = last_datagram;
    if (adds_noise && sent_number % 5 == 0) { send_noise(packet, size); }
    return 0;
}

static void deliver(t38_core_state_t *core, const uint8_t *ifp, int length) {
    t38_core_rx_ifp_packet(core, ifp, length, expected_number++);
}

static bool receive_udptl(t38_core_state_t *core, const uint8_t *data, size_t size) {
    enum { SECONDARY_MAX = 16 };
    const uint8_t *ifps[SECONDARY_MAX], *primary;
    int lengths[SECONDARY_MAX], length, before = 0;
    size_t at = 2;
    if (size < 4 || !(primary = get_ifp(data, size, &at, &length)) || length == 0 || at >= size) { return false; }
    if (data[at++] & 0x80) {
        at = size; /* parity; the far end does not send it, and we would not read it */
    } else {
        if (at >= size || (before = data[at++]) > SECONDARY_MAX) { return false; }
        for (int index = 0; index < before; index++) {
            if (!(ifps[index] = get_ifp(data, size, &at, &lengths[index]))) { return false; }
        }
    }
    if (at != size) { return false; }
    uint16_t number = (uint16_t) (data[0] << 8 | data[1]);
    int ahead = (int16_t) (number - expected_number);
    if (ahead < 0) { return true; } /* a repetition */
    if (ahead > before) {
        lost += ahead - before;
        expected_number = (uint16_t) (expected_number + ahead - before);
        ahead = before;
    }
    for (; ahead > 0; ahead--) {
        recovered++;
        deliver(core, ifps[ahead - 1], lengths[ahead - 1]);
    }
    deliver(core, primary, length);
    return true;
}

/* --- one fax ---------------------------------------------------------------------------------------------------- */

static void phase_e(t30_state_t *t30, void *user, int code) {
    (void) t30, (void) user;
    completion = code;
    over = true;
}

static void read_datagrams(t38_core_state_t *core) {
    static uint8_t data[DATAGRAM_MAX];
    struct sockaddr_in source;
    socklen_t source_size = sizeof source;
    ssize_t size;
    while ((size = recvfrom(udp, data, sizeof data, MSG_DONTWAIT, (struct sockaddr *) &source, &source_size)) >= 0) {
        if (source.sin_addr.s_addr != remote.sin_addr.s_addr || source.sin_port != remote.sin_port) {
            strangers++;
        } else {
            received++;
            last_datagram = now();
            if (!receive_udptl(core, data, (size_t) size)) { malformed++; }
        }
    }
}

/* False at the end of the input. */
static bool read_input(void) {
    static char text[256];
    static size_t filled;
    ssize_t size = read(0, text + filled, sizeof text - 1 - filled);
    if (size <= 0) { return false; }
    filled += (size_t) size;
    text[filled] = 0;
    char where[128];
    if (strchr(text, '\n')) {
        if (sscanf(text, "remote %127s", where) == 1) {
            remote = address_of(where);
            remote_known = true;
        }
        filled = 0;
    }
    return true;
}

static int fax(bool sends, const char *here, const char *file, bool ecm, int speed) {
    struct sockaddr_in local = address_of(here);
    udp = socket(AF_INET, SOCK_DGRAM, 0);
    int room = 4 << 20;
    setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (bind(udp, (struct sockaddr *) &local, sizeof local)) { fail(here); }

    t38_terminal_state_t *terminal = t38_terminal_init(NULL, sends, send_ifp, NULL);
    t38_core_state_t *core = t38_terminal_get_t38_core_state(terminal);
    t30_state_t *t30 = t38_terminal_get_t30_state(terminal);
    t38_set_t38_version(core, 0);
    t30_set_supported_modems(t30, T30_SUPPORT_V27TER | T30_SUPPORT_V29 | T30_SUPPORT_V17);
    t30_set_supported_compressions(
        t30, T30_SUPPORT_T4_1D_COMPRESSION | T30_SUPPORT_T4_2D_COMPRESSION | T30_SUPPORT_T6_COMPRESSION);
    t30_set_ecm_capability(t30, ecm);
    t30_set_tx_ident(t30, sends ? "100" : "200");
    t30_set_phase_e_handler(t30, phase_e, NULL);
    if (sends) {
        t30_set_tx_file(t30, file, -1, -1);
    } else {
        t30_set_rx_file(t30, file, -1);
    }

    puts("ready");
    fflush(stdout);
    bool open = true;
    double tick = (double) TICK_SAMPLES / SAMPLES_A_SECOND / speed, due = 0;
    /* What is sent last may have to be sent again, and the far end may not have ended yet. */
    while (!over || now() < last_datagram + 1.5 / speed) {
        struct pollfd polled[] = {{udp, POLLIN, 0}, {open ? 0 : -1, POLLIN, 0}};
        if (poll(polled, 2, !remote_known ? -1 : due > now() ? (int) ((due - now()) * 1000) + 1 : 0) < 0) {
            fail("poll");
        }
        if (polled[1].revents && !read_input()) {
            open = false;
            if (!over && remote_known) { t30_terminate(t30); }
            if (!over) { break; }
        }
        if (!remote_known) { continue; }
        read_datagrams(core);
        if (due == 0) { due = now(); }
        /* After a pause the clock catches up: the far end's has gone on. */
        for (; due <= now(); due += tick) { t38_terminal_send_timeout(terminal, TICK_SAMPLES); }
    }

    t30_stats_t stats;
    t30_get_transfer_statistics(t30, &stats);
    printf("{\"code\": %d, \"text\": \"%s\", \"pages\": %d, \"bitRate\": %d, \"ecm\": %s, \"width\": %d, \"length\": %d, "
           "\"compression\": \"%s\", \"retries\": %d, \"badRows\": %d, \"sent\": %ld, \"noise\": %ld, \"received\": %ld, "
           "\"malformed\": %ld, \"strangers\": %ld, \"recovered\": %ld, \"lost\": %ld, \"silence\": %.3f}\n",
           completion, completion < 0 ? "The fax did not end" : t30_completion_code_to_str(completion),
           sends ? stats.pages_tx : stats.pages_rx, stats.bit_rate, stats.error_correcting_mode ? "true" : "false",
           stats.width, stats.length, t4_encoding_to_str(stats.encoding), stats.error_correcting_mode_retries,
           stats.bad_rows, sent, noisy, received, malformed, strangers, recovered, lost, silence);
    fflush(stdout);
    t38_terminal_free(terminal);
    return completion == T30_ERR_OK ? 0 : 1;
}

/* --- what is in a file ------------------------------------------------------------------------------------------ */

static int rows(const char *file) {
    for (int writing = 0; writing < 2; writing++) {
        TIFF *tiff = TIFFOpen(file, "r");
        if (!tiff) { fail(file); }
        int page = 0;
        if (!writing) { printf("["); }
        do {
            uint32_t width = 0, length = 0;
            uint16_t photometric = PHOTOMETRIC_MINISWHITE;
            TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
            TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &length);
            TIFFGetFieldDefaulted(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
            if (!writing) { printf("%s[%u, %u]", page++ ? ", " : "", width, length); }
            size_t size = (size_t) TIFFScanlineSize(tiff);
            uint8_t *row = malloc(size);
            for (uint32_t line = 0; writing && line < length; line++) {
                if (TIFFReadScanline(tiff, row, line, 0) != 1) { fail("a row cannot be read"); }
                for (size_t at = 0; photometric == PHOTOMETRIC_MINISBLACK && at < size; at++) { row[at] ^= 0xFF; }
                fwrite(row, 1, size, stdout);
            }
            free(row);
        } while (TIFFReadDirectory(tiff));
        if (!writing) { printf("]\n"); }
        TIFFClose(tiff);
    }
    return 0;
}

int main(int count, char **words) {
    if (count == 3 && !strcmp(words[1], "rows")) { return rows(words[2]); }
    bool sends = count > 1 && !strcmp(words[1], "send");
    if (count < 4 || !(sends || !strcmp(words[1], "receive"))) {
        fprintf(stderr, "usage: t38terminal send|receive ADDRESS:PORT FILE [ecm|no-ecm] [speed N] [noise] "
                        "[remote ADDRESS:PORT]\n       t38terminal rows FILE\n");
        return 2;
    }
    bool ecm = true;
    int speed = 1;
    for (int index = 4; index < count; index++) {
        const char *word = words[index], *value = index + 1 < count ? words[index + 1] : "";
        if (!strcmp(word, "no-ecm")) { ecm = false; }
        if (!strcmp(word, "noise")) { adds_noise = true; }
        if (!strcmp(word, "speed") && (speed = atoi(value)) < 1) { fail("speed"); }
        if (!strcmp(word, "remote")) {
            remote = address_of(value);
            remote_known = true;
        }
    }
    return fax(sends, words[2], words[3], ecm, speed);
}
