import com.lmax.disruptor.BatchEventProcessor;
import com.lmax.disruptor.BusySpinWaitStrategy;
import com.lmax.disruptor.EventHandler;
import com.lmax.disruptor.LifecycleAware;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.Sequence;
import com.lmax.disruptor.SequenceBarrier;
import com.lmax.disruptor.WaitStrategy;
import com.lmax.disruptor.YieldingWaitStrategy;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;

/**
 * The Disruptor for the benchmark program, which starts it once and asks for one slice a line over its pipe.
 *
 * <p>Arguments: the bytes of a message (8 or 64), the wait strategy (yielding or busy-spin) and the slots. One machine
 * serves one combination, so that the compiler sees one class of events and one strategy. A line
 * "broadcast|pipeline CONSUMERS MESSAGES BATCH ATTEMPTS", the last before a writer that finds the ring full yields, is
 * answered by "ELAPSED_NS WRONG". Threads are called bench-0 (the writer), bench-1 ..., to be pinned from outside.
 */
public final class DisruptorPeer {
    private static final int CONSUMERS_MAX = 3;
    private static final long WARM_UP_NS = 250_000_000L;
    private static final int WARM_UP_ATTEMPTS = 64;

    /** A preallocated message. Only one of its subclasses is ever loaded. */
    abstract static class Event {
        abstract void fill(long tag);

        /** The sum of all words, less what it must be for this tag: 0. */
        abstract long difference(long tag);
    }

    static final class Event8 extends Event {
        private long a;

        @Override
        void fill(long tag) {
            a = tag;
        }

        @Override
        long difference(long tag) {
            return a - tag;
        }
    }

    static final class Event64 extends Event {
        private long a;
        private long b;
        private long c;
        private long d;
        private long e;
        private long f;
        private long g;
        private long h;

        @Override
        void fill(long tag) {
            a = tag;
            b = tag + 1;
            c = tag + 2;
            d = tag + 3;
            e = tag + 4;
            f = tag + 5;
            g = tag + 6;
            h = tag + 7;
        }

        @Override
        long difference(long tag) {
            return a + b + c + d + e + f + g + h - 8 * tag - 28;
        }
    }

    /** Checks that every message comes, once and in order, and notes when the last one did. */
    static final class Reader implements EventHandler<Event>, LifecycleAware {
        private final long messages;
        private final CountDownLatch ready;
        private final CountDownLatch done;
        private long next;
        private long wrong;
        private long endNs;

        Reader(long messages, CountDownLatch ready, CountDownLatch done) {
            this.messages = messages;
            this.ready = ready;
            this.done = done;
        }

        @Override
        public void onEvent(Event event, long sequence, boolean endOfBatch) {
            if (event.difference(next) != 0) {
                wrong++;
            }
            if (++next == messages) {
                endNs = System.nanoTime();
                done.countDown();
            }
        }

        @Override
        public void onStart() {
            ready.countDown();
        }

        @Override
        public void onShutdown() {
        }
    }

    /** A thread that lives as long as the program and runs what it is given. */
    static final class Member extends Thread {
        private final Semaphore wake = new Semaphore(0);
        private final Semaphore rest = new Semaphore(0);
        private Runnable work;

        Member(int number) {
            super("bench-" + number);
            setDaemon(true);
            start();
        }

        void begin(Runnable next) {
            work = next;
            wake.release();
        }

        void await() {
            rest.acquireUninterruptibly();
        }

        @Override
        public void run() {
            while (true) {
                wake.acquireUninterruptibly();
                work.run();
                rest.release();
            }
        }
    }

    private final RingBuffer<Event> ring;
    private final Member[] members = new Member[CONSUMERS_MAX + 1];
    private long startNs;

    private DisruptorPeer(int bytes, WaitStrategy strategy, int slots) {
        ring = bytes == 8 ? RingBuffer.createSingleProducer(Event8::new, slots, strategy)
                          : RingBuffer.createSingleProducer(Event64::new, slots, strategy);
        for (int i = 0; i < members.length; i++) {
            members[i] = new Member(i);
        }
    }

    /** The ring's own next(n) goes to sleep when it is full; this waits as all others do. */
    private void write(long messages, int batch, int attempts, CountDownLatch ready) {
        try {
            ready.await();
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
        startNs = System.nanoTime();
        for (long tag = 0; tag < messages;) {
            int count = (int) Math.min(batch, messages - tag);
            for (int attempt = 1; !ring.hasAvailableCapacity(count); attempt++) {
                if (attempt % attempts == 0) {
                    Thread.yield();
                } else {
                    Thread.onSpinWait();
                }
            }
            long last = ring.next(count);
            long first = last - count + 1;
            for (long sequence = first; sequence <= last; sequence++) {
                ring.get(sequence).fill(tag++);
            }
            ring.publish(first, last);
        }
    }

    /** One slice. Answers the time in ns, and the number of wrong messages. */
    private long[] run(boolean pipeline, int consumers, long messages, int batch, int attempts)
        throws InterruptedException {
        CountDownLatch ready = new CountDownLatch(consumers);
        CountDownLatch done = new CountDownLatch(consumers);
        Reader[] readers = new Reader[consumers];
        @SuppressWarnings({"unchecked", "rawtypes"})
        BatchEventProcessor<Event>[] processors = new BatchEventProcessor[consumers];
        Sequence before = null;
        for (int i = 0; i < consumers; i++) {
            readers[i] = new Reader(messages, ready, done);
            SequenceBarrier barrier = before == null ? ring.newBarrier() : ring.newBarrier(before);
            processors[i] = new BatchEventProcessor<>(ring, barrier, readers[i]);
            processors[i].getSequence().set(ring.getCursor());
            before = pipeline ? processors[i].getSequence() : null;
            /* The writer waits for the last stage, which comes after all others. */
            if (!pipeline || i == consumers - 1) {
                ring.addGatingSequences(processors[i].getSequence());
            }
        }
        for (int i = 0; i < consumers; i++) {
            members[i + 1].begin(processors[i]);
        }
        members[0].begin(() -> write(messages, batch, attempts, ready));
        done.await();
        long endNs = startNs;
        long wrong = 0;
        members[0].await();
        for (int i = 0; i < consumers; i++) {
            processors[i].halt();
            members[i + 1].await();
            ring.removeGatingSequence(processors[i].getSequence());
            endNs = Math.max(endNs, readers[i].endNs);
            wrong += readers[i].wrong + (readers[i].next == messages ? 0 : 1);
        }
        return new long[] {endNs - startNs, wrong};
    }

    /** Lets the compiler see every case before any is measured. */
    private void warmUp() throws InterruptedException {
        long startNs = System.nanoTime();
        for (long messages = 256; System.nanoTime() - startNs < WARM_UP_NS; messages *= 2) {
            for (int batch = 1; batch <= 32; batch += 31) {
                run(false, 1, messages, batch, WARM_UP_ATTEMPTS);
                run(false, CONSUMERS_MAX, messages, batch, WARM_UP_ATTEMPTS);
                run(true, CONSUMERS_MAX, messages, batch, WARM_UP_ATTEMPTS);
            }
        }
    }

    /** Serves until the pipe ends. */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        WaitStrategy strategy =
            arguments[1].equals("busy-spin") ? new BusySpinWaitStrategy() : new YieldingWaitStrategy();
        DisruptorPeer peer =
            new DisruptorPeer(Integer.parseInt(arguments[0]), strategy, Integer.parseInt(arguments[2]));
        peer.warmUp();
        System.out.println("ready");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            long[] result = peer.run(words[0].equals("pipeline"), Integer.parseInt(words[1]),
                Long.parseLong(words[2]), Integer.parseInt(words[3]), Integer.parseInt(words[4]));
            System.out.println(result[0] + " " + result[1]);
        }
    }
}
