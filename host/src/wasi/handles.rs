//! What both versions of the interfaces share.

use wasmtime::component::Resource;

use super::PipesCtxView;
use crate::pipe::{Child, ErrorCode, Fault, Reader, SpawnRequest, Writer, deferred};

impl PipesCtxView<'_> {
    /// Returns the reader behind a handle that the guest holds. Delivers the guest's deferred writes
    /// first, as the guest may ask how many bytes wait.
    pub(super) fn reader(&mut self, handle: &Resource<Reader>) -> Result<&mut Reader, Fault> {
        deferred::settle();
        // Wasmtime has checked the handle, so that only a bug here can make this fail.
        self.table.get_mut(handle).map_err(|_| ErrorCode::Io.into())
    }

    /// Returns the writer behind a handle that the guest holds.
    pub(super) fn writer(&mut self, handle: &Resource<Writer>) -> Result<&mut Writer, Fault> {
        self.table.get_mut(handle).map_err(|_| ErrorCode::Io.into())
    }

    pub(super) fn open_reader_handle(&mut self, name: &str) -> Result<Resource<Reader>, Fault> {
        let reader = self.ctx.open_reader(name)?;
        self.handle(reader)
    }

    pub(super) fn open_writer_handle(&mut self, name: &str) -> Result<Resource<Writer>, Fault> {
        let writer = self.ctx.open_writer(name)?;
        self.handle(writer)
    }

    pub(super) fn create_pipe(&mut self) -> Result<(Resource<Reader>, Resource<Writer>), Fault> {
        let (reader, writer) = self.ctx.create()?;
        let reader = self.handle(reader)?;
        match self.handle(writer) {
            Ok(writer) => Ok((reader, writer)),
            Err(fault) => {
                // The guest never learns of the first handle, so it would never drop it.
                let _ = self.table.delete(reader);
                Err(fault)
            }
        }
    }

    /// Takes out what is behind a handle that the guest gives away.
    pub(super) fn taken<R: Send + 'static>(&mut self, handle: Resource<R>) -> Result<R, Fault> {
        self.table.delete(handle).map_err(|_| ErrorCode::Io.into())
    }

    pub(super) fn spawn_child(&mut self, request: SpawnRequest) -> Result<Resource<Child>, Fault> {
        let child = self.ctx.spawn(request)?;
        // Without a handle, the guest could not end the child.
        self.handle(child.clone()).inspect_err(|_| child.kill())
    }

    /// Returns the child behind a handle that the guest holds. Delivers the guest's deferred writes
    /// first: a child that has ended, ended after them.
    pub(super) fn child(&mut self, handle: &Resource<Child>) -> wasmtime::Result<&Child> {
        deferred::settle();
        Ok(self.table.get(handle)?)
    }

    fn handle<R: Send + 'static>(&mut self, resource: R) -> Result<Resource<R>, Fault> {
        self.table.push(resource).map_err(|_| ErrorCode::LimitExceeded.into())
    }
}

/// Implements the interfaces that differ only in the bindings' own types: `anonymous`, `named`,
/// `spawn` and the error codes. The bindings must be in scope under these names.
macro_rules! interfaces_alike {
    () => {
        impl anonymous::Host for PipesCtxView<'_> {
            fn create(&mut self) -> Result<(Resource<Reader>, Resource<Writer>), Fault> {
                self.create_pipe()
            }
        }

        impl named::Host for PipesCtxView<'_> {
            fn list(&mut self) -> wasmtime::Result<Vec<named::GrantedPipe>> {
                let list = self.ctx.list().map(|(name, directions)| {
                    let mut flags = named::Directions::empty();
                    if directions.read {
                        flags |= named::Directions::READ;
                    }
                    if directions.write {
                        flags |= named::Directions::WRITE;
                    }
                    named::GrantedPipe { name: name.to_string(), directions: flags }
                });
                Ok(list.collect())
            }

            fn open_reader(&mut self, name: String) -> Result<Resource<Reader>, Fault> {
                self.open_reader_handle(&name)
            }

            fn open_writer(&mut self, name: String) -> Result<Resource<Writer>, Fault> {
                self.open_writer_handle(&name)
            }
        }

        impl spawn::Host for PipesCtxView<'_> {
            fn list(&mut self) -> wasmtime::Result<Vec<String>> {
                Ok(self.ctx.children())
            }

            fn spawn(
                &mut self,
                name: String,
                args: Vec<String>,
                stdin: spawn::ChildInput,
                stdout: spawn::ChildOutput,
                stderr: spawn::ChildOutput,
                pipes: Vec<spawn::PassedPipe>,
            ) -> Result<Resource<Child>, Fault> {
                let mut output = |output| {
                    Ok::<_, Fault>(match output {
                        spawn::ChildOutput::Null => ChildStream::Null,
                        spawn::ChildOutput::Inherited => ChildStream::Inherited,
                        spawn::ChildOutput::Pipe(end) => ChildStream::Pipe(self.taken(end)?),
                    })
                };
                let (stdout, stderr) = (output(stdout)?, output(stderr)?);
                let stdin = match stdin {
                    spawn::ChildInput::Null => ChildStream::Null,
                    spawn::ChildInput::Inherited => ChildStream::Inherited,
                    spawn::ChildInput::Pipe(end) => ChildStream::Pipe(self.taken(end)?),
                };
                let mut passed = |spawn::PassedPipe { name, end }| {
                    let end = match end {
                        spawn::PassedEnd::Reader(end) => PassedEnd::Reader(self.taken(end)?),
                        spawn::PassedEnd::Writer(end) => PassedEnd::Writer(self.taken(end)?),
                    };
                    Ok::<_, Fault>((name, end))
                };
                let pipes = pipes.into_iter().map(&mut passed).collect::<Result<_, _>>()?;
                self.spawn_child(SpawnRequest { name, args, stdin, stdout, stderr, pipes })
            }
        }

        impl From<crate::pipe::ChildStatus> for spawn::ChildStatus {
            fn from(status: crate::pipe::ChildStatus) -> Self {
                use crate::pipe::ChildStatus;
                match status {
                    ChildStatus::Exited(status) => Self::Exited(status),
                    ChildStatus::Trapped => Self::Trapped,
                    ChildStatus::BrokenPipe => Self::BrokenPipe,
                    ChildStatus::TimedOut => Self::TimedOut,
                    ChildStatus::Killed => Self::Killed,
                    ChildStatus::Signaled(number) => Self::Signaled(number),
                    ChildStatus::Failed => Self::Failed,
                }
            }
        }

        impl From<crate::pipe::ErrorCode> for types::ErrorCode {
            fn from(code: crate::pipe::ErrorCode) -> Self {
                use crate::pipe::ErrorCode;
                match code {
                    ErrorCode::NotPermitted => Self::NotPermitted,
                    ErrorCode::InvalidName => Self::InvalidName,
                    ErrorCode::LimitExceeded => Self::LimitExceeded,
                    ErrorCode::BrokenPipe => Self::BrokenPipe,
                    ErrorCode::TimedOut => Self::TimedOut,
                    ErrorCode::InUse => Self::InUse,
                    ErrorCode::Unsupported => Self::Unsupported,
                    ErrorCode::Io => Self::Io,
                }
            }
        }
    };
}

pub(super) use interfaces_alike;
