//! The futures crate, in the cases of future_cells.h: each function does a case `count` times and answers the sum.

use futures::channel::mpsc;
use futures::future::{join_all, ready, BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::task::noop_waker_ref;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

const CHAIN: u64 = 16;
const MEMBERS: u64 = 1_000_000;
const STRIDE: usize = 514_229;

fn poll_once<F: Future + Unpin>(mut future: F) -> F::Output {
    match Pin::new(&mut future).poll(&mut Context::from_waker(noop_waker_ref())) {
        Poll::Ready(value) => value,
        Poll::Pending => std::process::abort(),
    }
}

/// Keeps the compiler from knowing the value.
fn opaque<T: Copy>(value: T) -> T {
    unsafe { std::ptr::read_volatile(&value) }
}

fn add_one(value: u64) -> u64 {
    opaque(value) + 1
}

/// A chain whose types the compiler sees whole.
macro_rules! chain {
    ($future:expr, $($step:ident)*) => { $future$(.$step(|value| step::$step(value)))* };
}

mod step {
    pub fn map(value: u64) -> u64 {
        super::add_one(value)
    }
    pub fn then(value: u64) -> futures::future::Ready<u64> {
        futures::future::ready(super::add_one(value))
    }
}

#[no_mangle]
pub extern "C" fn rust_map(count: u64) -> u64 {
    (0..count / CHAIN)
        .map(|_| poll_once(chain!(ready(0), map map map map map map map map map map map map map map map map)))
        .sum()
}

#[no_mangle]
pub extern "C" fn rust_and_then(count: u64) -> u64 {
    (0..count / CHAIN)
        .map(|_| poll_once(chain!(ready(0), map then map then map then map then map then map then map then map then)))
        .sum()
}

/// The same where every stage is a trait object, as stages of different kinds in one variable must be.
#[no_mangle]
pub extern "C" fn rust_map_boxed(count: u64) -> u64 {
    let mut sum = 0;
    for _ in 0..count / CHAIN {
        let mut future: BoxFuture<'static, u64> = ready(0).boxed();
        for _ in 0..CHAIN {
            future = future.map(add_one).boxed();
        }
        sum += poll_once(future);
    }
    sum
}

#[no_mangle]
pub extern "C" fn rust_and_then_boxed(count: u64) -> u64 {
    let mut sum = 0;
    for _ in 0..count / CHAIN {
        let mut future: BoxFuture<'static, u64> = ready(0).boxed();
        for _ in 0..CHAIN / 2 {
            future = future.map(add_one).boxed();
            future = future.then(|value| ready(add_one(value))).boxed();
        }
        sum += poll_once(future);
    }
    sum
}

/// Pending at every other poll.
struct Blink(bool);

impl Future for Blink {
    type Output = u64;
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u64> {
        self.0 = !self.0;
        if self.0 { Poll::Pending } else { Poll::Ready(1) }
    }
}

async fn waits(sum: Rc<Cell<u64>>) {
    loop {
        let value = Blink(false).await;
        sum.set(sum.get() + value);
    }
}

#[no_mangle]
pub extern "C" fn rust_resume(count: u64) -> u64 {
    let sum = Rc::new(Cell::new(0));
    let mut future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(waits(sum.clone()));
    let mut context = Context::from_waker(noop_waker_ref());
    let _ = future.as_mut().poll(&mut context);
    let pointer: *mut Pin<Box<dyn Future<Output = ()>>> = &mut future;
    for _ in 0..count {
        // As an executor finds its tasks: by a pointer that the compiler does not know.
        let future = unsafe { &mut *opaque(pointer) };
        let _ = future.as_mut().poll(&mut context);
    }
    sum.get()
}

async fn awaits(count: u64) -> u64 {
    let mut sum = 0;
    for _ in 0..count {
        sum += ready(opaque(1)).await;
    }
    sum
}

#[no_mangle]
pub extern "C" fn rust_await_ready(count: u64) -> u64 {
    let mut future: Pin<Box<dyn Future<Output = u64>>> = Box::pin(awaits(count));
    match future.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
        Poll::Ready(value) => value,
        Poll::Pending => 0,
    }
}

#[no_mangle]
pub extern "C" fn rust_join_ready(count: u64) -> u64 {
    let mut sum = 0;
    for _ in 0..count / MEMBERS {
        let all = futures::executor::block_on(join_all((0..MEMBERS).map(|_| ready(1u64))));
        sum += all.iter().sum::<u64>();
    }
    sum
}

/// Waits until it is told to.
struct Wait(Rc<RefCell<(Option<Waker>, bool)>>);

impl Future for Wait {
    type Output = u64;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u64> {
        let mut state = self.0.borrow_mut();
        if state.1 {
            return Poll::Ready(1);
        }
        state.0 = Some(context.waker().clone());
        Poll::Pending
    }
}

#[no_mangle]
pub extern "C" fn rust_join_pending(count: u64) -> u64 {
    let mut sum = 0;
    let mut context = Context::from_waker(noop_waker_ref());
    for _ in 0..count / MEMBERS {
        let waits: Vec<_> = (0..MEMBERS).map(|_| Rc::new(RefCell::new((None::<Waker>, false)))).collect();
        let mut all = join_all(waits.iter().map(|wait| Wait(wait.clone())));
        // It gives up its turn from time to time, and has woken itself then.
        while waits[MEMBERS as usize - 1].borrow().0.is_none() {
            let _ = Pin::new(&mut all).poll(&mut context);
        }
        for wait in &waits {
            let waker = {
                let mut state = wait.borrow_mut();
                state.1 = true;
                state.0.take()
            };
            waker.unwrap().wake();
        }
        loop {
            if let Poll::Ready(values) = Pin::new(&mut all).poll(&mut context) {
                sum += values.iter().sum::<u64>();
                break;
            }
        }
    }
    sum
}

pub struct Set {
    members: FuturesUnordered<Wait>,
    waits: Vec<Rc<RefCell<(Option<Waker>, bool)>>>,
    next: usize,
}

#[no_mangle]
pub extern "C" fn rust_set_open(count: u64) -> *mut Set {
    let waits: Vec<_> = (0..count).map(|_| Rc::new(RefCell::new((None::<Waker>, false)))).collect();
    let mut members: FuturesUnordered<Wait> = waits.iter().map(|wait| Wait(wait.clone())).collect();
    let mut context = Context::from_waker(noop_waker_ref());
    while waits.iter().any(|wait| wait.borrow().0.is_none()) {
        let _ = members.poll_next_unpin(&mut context);
    }
    Box::into_raw(Box::new(Set { members, waits, next: 0 }))
}

#[no_mangle]
pub unsafe extern "C" fn rust_set_close(set: *mut Set) {
    drop(Box::from_raw(set));
}

#[no_mangle]
pub unsafe extern "C" fn rust_set_wake(set: *mut Set, count: u64) -> u64 {
    let set = &mut *set;
    let mut context = Context::from_waker(noop_waker_ref());
    let mut sum = 0;
    for _ in 0..count {
        let wait = set.waits[set.next].clone();
        let waker = {
            let mut state = wait.borrow_mut();
            state.1 = true;
            state.0.take()
        };
        waker.unwrap().wake();
        if let Poll::Ready(Some(value)) = set.members.poll_next_unpin(&mut context) {
            sum += value;
        }
        wait.borrow_mut().1 = false;
        set.members.push(Wait(wait));
        let _ = set.members.poll_next_unpin(&mut context);
        set.next = (set.next + STRIDE) % set.waits.len();
    }
    sum
}

pub struct Channel(mpsc::Sender<u64>, mpsc::Receiver<u64>);

#[no_mangle]
pub extern "C" fn rust_channel_open(slots: u64) -> *mut Channel {
    let (sender, receiver) = mpsc::channel(slots as usize);
    Box::into_raw(Box::new(Channel(sender, receiver)))
}

#[no_mangle]
pub unsafe extern "C" fn rust_channel_close(channel: *mut Channel) {
    drop(Box::from_raw(channel));
}

/// Sends `burst` messages, then receives them.
#[no_mangle]
pub unsafe extern "C" fn rust_channel(channel: *mut Channel, count: u64, burst: u64) -> u64 {
    let Channel(sender, receiver) = &mut *channel;
    let mut context = Context::from_waker(noop_waker_ref());
    let mut sum = 0;
    for _ in 0..count / burst {
        for _ in 0..burst {
            match sender.poll_ready(&mut context) {
                Poll::Ready(Ok(())) if sender.start_send(1).is_ok() => {}
                _ => std::process::abort(),
            }
        }
        for _ in 0..burst {
            if let Poll::Ready(Some(value)) = receiver.poll_next_unpin(&mut context) {
                sum += value;
            }
        }
    }
    sum
}
