//! A line that can be cut.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What lies between plugin and host, and can be cut.
pub(crate) struct Cable {
    pub(crate) near: SocketAddr,
    far: watch::Sender<Option<SocketAddr>>,
    cut: watch::Sender<()>,
    _tasks: JoinSet<()>,
}

impl Cable {
    pub(crate) async fn lay() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = listener.local_addr().unwrap();
        let (far, mut plugged) = watch::channel(None);
        let cut = watch::Sender::new(());
        let cutting = cut.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let Ok(Some(far)) = plugged.wait_for(Option::is_some).await.map(|far| *far) else {
                    return;
                };
                let mut cut = cutting.subscribe();
                lines.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(far).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            near,
            far,
            cut,
            _tasks: tasks,
        }
    }

    pub(crate) fn plug(&self, far: SocketAddr) {
        self.far.send_replace(Some(far));
    }

    pub(crate) fn cut(&self) {
        self.cut.send_replace(());
    }
}
