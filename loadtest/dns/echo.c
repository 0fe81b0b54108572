/*
 * The floor: a UDP server that does nothing but move bytes, 64 datagrams a system call. It sends the query back with QR
 * set, cut or filled up to the length given, so that the kernel does the same work for it as for a real answer.
 *
 *     echo PORT ANSWER_BYTES
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64
#define SLOT 1500

static char in[BATCH][SLOT], out[BATCH][SLOT];
static struct sockaddr_in names[BATCH];
static struct iovec in_vectors[BATCH], out_vectors[BATCH];
static struct mmsghdr in_headers[BATCH], out_headers[BATCH];

int main(int argc, char **argv) {
  if (argc != 3 || atoi(argv[2]) > SLOT) return 2;
  const size_t answer_bytes = (size_t)atoi(argv[2]);
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  const int buffer = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    perror("bind");
    return 1;
  }
  for (int i = 0; i < BATCH; i++) {
    in_vectors[i] = (struct iovec){in[i], SLOT};
    out_vectors[i] = (struct iovec){out[i], answer_bytes};
    in_headers[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_iov = &in_vectors[i], .msg_iovlen = 1};
    out_headers[i].msg_hdr =
        (struct msghdr){.msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &out_vectors[i], .msg_iovlen = 1};
  }
  for (;;) {
    for (int i = 0; i < BATCH; i++) in_headers[i].msg_hdr.msg_namelen = sizeof names[i];
    const int count = recvmmsg(fd, in_headers, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < count; i++) {
      const size_t length = in_headers[i].msg_len;
      memcpy(out[i], in[i], length < answer_bytes ? length : answer_bytes);
      out[i][2] |= (char)0x80;
    }
    for (int sent = 0; sent < count;) {
      const int now = sendmmsg(fd, out_headers + sent, (unsigned)(count - sent), 0);
      sent += now > 0 ? now : 1;
    }
  }
}
