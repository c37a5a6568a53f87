/* A request with a timeout and retries, and a server that deserves both: it hangs up, then dawdles, then answers. */
#include <kernel/kernel.h>
#include <stdio.h>
#include <string.h>

static struct kn_io_driver *driver;
static struct kn_io_listener listener;
static struct kn_address address;

/* One attempt: connect, ask, read the answer to its end. */
struct request {
    KN_ASYNC_STATE;
    struct kn_io io;
    char answer[256];
    struct kn_future_connect connect;
    struct kn_future_io_write_all write;
    struct kn_future_io_read read;
};

static void hang_up(struct request *self)
{
    kn_io_close(&self->io);
}

KN_ASYNC_WITH_CLEANUP(request, hang_up)
{
    static const char question[] = "GET / HTTP/1.0\r\n\r\n";
    KN_BEGIN;
    KN_TRY(kn_future_connect(&self->connect, &self->io, driver, &address));
    KN_TRY(kn_future_io_write_all(&self->write, &self->io, question, strlen(question)));
    KN_TRY(kn_future_io_read(&self->read, &self->io, self->answer, sizeof self->answer - 1));
    if (KN_OUTCOME.value.natural == 0)
        KN_FAIL(-ECONNRESET);
    self->answer[KN_OUTCOME.value.natural] = 0;
    KN_RETURN(self->answer);
}

/* Serves three connections, each better than the last. */
struct serve {
    KN_ASYNC_STATE;
    int visit;
    struct kn_io io;
    char question[256];
    struct kn_future_accept accept;
    struct kn_future_io_read read;
    struct kn_future_io_write_all write;
};

KN_ASYNC(serve)
{
    static const char answer[] = "HTTP/1.0 200 OK\r\n\r\nhello\n";
    KN_BEGIN;
    for (self->visit = 0; self->visit < 3; self->visit++) {
        int descriptor;
        KN_TRY_INTO(descriptor, kn_future_accept(&self->accept, &listener));
        if (kn_io_open(&self->io, driver, descriptor) < 0)
            KN_FAIL(-EMFILE);
        KN_TRY(kn_future_io_read(&self->read, &self->io, self->question, sizeof self->question));
        if (self->visit == 1) /* says nothing until the client has given up, and reads its end */
            KN_AWAIT(kn_future_io_read(&self->read, &self->io, self->question, sizeof self->question));
        if (self->visit == 2)
            KN_TRY(kn_future_io_write_all(&self->write, &self->io, answer, strlen(answer)));
        kn_io_close(&self->io);
    }
    KN_FINISH;
}

static struct request attempt_state;
static struct kn_future_timeout limit;

static struct kn_future *attempt(unsigned number, void *unused)
{
    printf("attempt %u\n", number + 1);
    (void)unused;
    return kn_future_timeout(&limit, request(&attempt_state), 20 * KN_MILLISECOND_NS);
}

int main(void)
{
    static struct serve server;
    struct kn_future_retry retry;
    struct kn_future_join both;
    const struct kn_retry_options options = {.attempts = 5, .first_delay_ns = KN_MILLISECOND_NS, .jitter = 0.5};
    if (kn_address_parse("127.0.0.1:0", &address) < 0 || kn_io_driver_open(&driver, NULL) < 0 ||
        kn_io_listen(&listener, driver, &address, NULL) < 0 ||
        kn_tcp_listener_address(&listener.listener, &address) < 0)
        return 1;
    struct kn_future *client = kn_future_retry(&retry, attempt, NULL, &options);
    struct kn_outcome outcome = kn_io_driver_block_on(driver, KN_JOIN(&both, client, serve(&server)), -1);
    if (outcome.status == KN_READY && both.outcomes[0].status == KN_READY)
        printf("%s", both.outcomes[0].value.pointer ? (const char *)both.outcomes[0].value.pointer : "");
    kn_io_listener_close(&listener);
    kn_io_driver_close(driver);
    return outcome.status != KN_READY || both.outcomes[0].status != KN_READY;
}
